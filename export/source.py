"""Keras models to export, read from a run folder or a Keras file: `Source` and `read_source()`."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import keras
import numpy as np
from numpy.typing import NDArray

from digits_edge.export.graph.ends import FinalActivation, class_count, final_activation, output_kind, to_logits
from digits_edge.export.image_layout import ImageLayout
from digits_edge.export.layers import every_layer
from digits_edge.export.loading import is_saved_model, load_keras
from digits_edge.export.run_record import RECIPE, RunRecord, read_run_record
from digits_edge.export.temperature import sigmoid, softmax
from digits_edge.runtime.datasets.catalogue import CATALOGUE, DIGITS
from digits_edge.runtime.errors import ModelError, UsageError, one_line
from digits_edge.runtime.model.image_input import ImageInput, Polarity
from digits_edge.runtime.model.model_file import OutputKind
from digits_edge.runtime.model.pixel_range import PixelRange
from digits_edge.runtime.model.steps import NamedSteps, PreprocessingStep, named_steps

#: File name of the Keras model in a run folder.
RUN_MODEL = "model.keras"
#: File name of the images in a run folder on which confidence is calibrated, besides the validation images.
RUN_CALIBRATION = "calibration.npz"
_BATCH = 500


@dataclass(frozen=True, eq=False)
class CalibrationImages:
    """Labelled images on which confidence is calibrated, besides the validation images.

    Attributes:
        images: uint8 (N, H, W) or (N, H, W, 3).
        labels: true classes, (N,).
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.unsignedinteger]


@dataclass(frozen=True)
class Source:
    """A Keras classifier of images and its metadata.

    Attributes:
        name: the architecture of a run, or the file name without its suffix.
        architecture: the architecture of a run, or the name of the Keras model.
        model: the Keras model.
        pixel_range: the input the model expects; its scale is known.
        labels: the class names.
        image: size, channels and polarity of the images.
        preprocessing: the steps that convert a picture to such an image; empty if they are unknown.
        data: the training data recorded in the run folder; empty for a Keras file.
        versions: the versions of the libraries it was trained with, if known.
        validation_accuracy: the accuracy on the validation images that the run recorded, if known.
        calibration: images that the run stored for the calibration; None for most models.

    Example:
        >>> model = keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.Dense(10)])
        >>> source = Source("tiny", "tiny", model, PixelRange(255), tuple("0123456789"))
        >>> source.parameters
        7850
        >>> source.logits(np.zeros((2, 28, 28), np.uint8)).shape
        (2, 10)
    """

    name: str
    architecture: str
    model: keras.Model
    pixel_range: PixelRange
    labels: tuple[str, ...]
    image: ImageInput = field(default_factory=ImageInput)
    preprocessing: tuple[PreprocessingStep, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    validation_accuracy: float | None = None
    calibration: CalibrationImages | None = None

    @property
    def members(self) -> tuple["Source", ...]:
        """A tuple with only this source, for code that also handles an `Ensemble`."""
        return (self,)

    @property
    def parameters(self) -> int:
        """The number of parameters of the Keras model."""
        return int(self.model.count_params())

    @property
    def validation(self) -> str:
        """The split rule of the training data, as accepted by `digits_edge.runtime.datasets.parts`."""
        return str(self.data.get("validation", "tenth"))

    def inputs(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Convert images, uint8 (N, H, W) or (N, H, W, 3), to float32 in the model's input shape and pixel range."""
        return self.image_layout.arranged(_scaled(images, self.pixel_range))

    @cached_property
    def activation(self) -> FinalActivation:
        """What the Keras model ends in."""
        return final_activation(self.model)

    @property
    def output(self) -> OutputKind:
        """Kind of the probabilities."""
        return output_kind(self.activation, int(self.model.outputs[0].shape[1]))

    @property
    def image_layout(self) -> ImageLayout:
        """How the model's input tensor holds an image."""
        return ImageLayout.of(self.model.inputs[0].shape)

    def outputs(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the Keras model.

        Args:
            images: uint8 (N, H, W) or (N, H, W, 3).

        Returns:
            The model's outputs, logits or probabilities, float32 (N, K); (N, 1) for a single output of two classes.

        Raises:
            ModelError: Keras cannot run the model on these images, or an output is not a number.
        """
        inputs = self.inputs(images)
        try:
            batches = [
                self.model(inputs[start : start + _BATCH], training=False) for start in range(0, len(inputs), _BATCH)
            ]
            outputs = np.concatenate([keras.ops.convert_to_numpy(batch) for batch in batches]).astype(np.float32)
        except Exception as error:  # Keras and its backends raise exceptions of many types
            raise ModelError(f"{self.name} cannot be run by Keras: {one_line(error)}") from error
        expected = (len(images), int(self.model.outputs[0].shape[1]))
        if outputs.shape != expected:
            raise ModelError(
                f"{self.name} returns shape {outputs.shape} for {len(images)} images, expected {expected}; "
                "pass a classifier of single images"
            )
        if not np.isfinite(outputs).all():
            raise ModelError(
                f"{self.name} returns values that are not finite; check its weights, and the pixel range it expects"
            )
        return outputs

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute logits, float32 (N, C), for images, uint8 (N, H, W) or (N, H, W, 3)."""
        return to_logits(self.outputs(images), self.activation)

    def probabilities(self, outputs: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float32]:
        """Convert outputs of the Keras model to class probabilities.

        Args:
            outputs: float32 (N, K) or (N, 1), as `outputs` returns them.
            temperature: divisor of the logits; without effect on independent sigmoids.

        Returns:
            float32 (N, C).
        """
        logits = to_logits(outputs, self.activation)
        return sigmoid(logits) if self.output == "sigmoid" else softmax(logits, temperature)


def _scaled(images: NDArray[np.uint8], pixel_range: PixelRange) -> NDArray[np.float32]:
    """Images in a pixel range, float32 of the same shape; rounded as in a training script in float32."""
    values = np.arange(256, dtype=np.float32)
    if pixel_range.invert:
        values = 255 - values
    if pixel_range.white == 1:
        values /= np.float32(255)
    mean, std = np.asarray(pixel_range.mean, np.float32), np.asarray(pixel_range.std, np.float32)
    if not pixel_range.is_per_channel:  # a table of 256 numbers is faster
        return np.asarray(((values - mean) / std)[images])
    return np.asarray((values[images] - mean) / std)


def calibrated_outputs(source: Source, images: NDArray[np.uint8], temperature: float) -> NDArray[np.float32]:
    """Compute calibrated probabilities of a Keras model.

    Args:
        source: the Keras model.
        images: uint8 (N, H, W) or (N, H, W, 3).
        temperature: divisor of the logits, as recorded in the model file.

    Returns:
        Shape (N, C), float32.

    Example:
        >>> model = keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.Dense(10)])
        >>> source = Source("tiny", "tiny", model, PixelRange(1), tuple("0123456789"))
        >>> calibrated_outputs(source, np.zeros((2, 28, 28), np.uint8), 1.5).shape
        (2, 10)
    """
    return source.probabilities(source.outputs(images), temperature)


def read_source(
    path: Path,
    *,
    pixel_range: PixelRange | None = None,
    labels: Sequence[str] | None = None,
    usual_labels: Sequence[str] | None = None,
    preprocessing: NamedSteps | None = None,
    output: str | None = None,
    custom_objects: str | None = None,
) -> Source:
    """Read a run folder, a `.keras` or `.h5` file of Keras 2 or 3, or a SavedModel folder.

    `model.keras` in a run folder is read like the folder: scale, labels and data are in the `recipe.json` beside it.

    Args:
        path: the folder or file.
        pixel_range: the input the model expects; by default, and if its scale is None, the scale is read from the run's
            recipe or a Rescaling layer.
        labels: the class names; by default those of the run, `usual_labels` if their number fits, or the ten digits.
        usual_labels: the class names of the data that will be used, if any.
        preprocessing: how pictures are converted to the input; by default as for the data, or the usual steps.
        output: the name of the output to use, for a model that has several.
        custom_objects: classes and functions that the model needs, as in `digits_edge.export.loading.load_keras`. This
            runs their module, and code in the file.

    Raises:
        ModelError: the model cannot be read, or is not a classifier of images.
        UsageError: the scale or the labels are unknown, or the scale differs from that of the run.

    Example:
        >>> source = read_source(Path("runs/cnn"))  # doctest: +SKIP
        >>> source.labels  # doctest: +SKIP
        ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
    """
    file = path / RUN_MODEL if _is_run_folder(path) else path
    run, data = _run_of(path)
    model = load_keras(file, custom_objects=custom_objects, output=output)
    layout, outputs = _check_ends(model, file)
    classes = class_count(outputs)
    known = run.data if run is not None else _DataOfRun("")
    known_labels = tuple(labels or known.classes or usual_labels or ())
    if not labels and not known.classes and len(known_labels) != classes:
        known_labels = DIGITS if classes == len(DIGITS) else ()
    if len(set(known_labels)) != len(known_labels) or not all(label.strip() for label in known_labels):
        raise UsageError(f"labels {','.join(known_labels)!r} are empty or repeated; give each class a different name")
    if len(known_labels) != classes:
        raise UsageError(
            f"{file} has {classes} classes, but {len(known_labels)} labels are known; pass all labels with --labels, "
            "or data with these classes with --data"
        )
    image = known.input or layout.image
    if preprocessing is not None:
        polarity: Polarity = "white-on-black" if preprocessing in ("digit", "object") else "as-photographed"
        image = replace(image, polarity=polarity)
    return Source(
        name=run.recipe.model if run is not None else file.stem,
        architecture=run.recipe.model if run is not None else model.name,
        model=model,
        pixel_range=_known_range(pixel_range or PixelRange(), known.input_scale, path, model),
        labels=known_labels,
        image=image,
        preprocessing=named_steps(preprocessing, image) if preprocessing else known.steps,
        data=data,
        versions=run.versions if run is not None else {},
        validation_accuracy=run.result.validation_accuracy if run is not None else None,
        calibration=_calibration_of(file.parent) if run is not None else None,
    )


def _calibration_of(folder: Path) -> CalibrationImages | None:
    """The images that a run stored for the calibration; None for runs without made images."""
    path = folder / RUN_CALIBRATION
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            images, labels = stored["images"], stored["labels"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise ModelError(f"{path} is damaged ({one_line(error)}); train again, or remove the file") from error
    if images.dtype != np.uint8 or labels.dtype != np.uint8 or images.shape[:1] != labels.shape or not len(images):
        raise ModelError(f"{path} does not hold labelled images; train again, or remove the file")
    return CalibrationImages(images, labels)


@dataclass(frozen=True)
class _DataOfRun:
    name: str
    input_scale: Literal[1, 255] | None = None
    classes: tuple[str, ...] = ()
    validation: str = "tenth"
    input: ImageInput | None = None
    preprocessing: tuple[PreprocessingStep, ...] = ()

    @property
    def steps(self) -> tuple[PreprocessingStep, ...]:
        """The recorded preprocessing; for runs of earlier versions, that of their data set."""
        if self.preprocessing or not self.classes:
            return self.preprocessing
        return next((known.preprocessing for known in CATALOGUE.values() if known.class_names == self.classes), ())


@dataclass(frozen=True, kw_only=True)
class _Run(RunRecord):
    """The keys of a classifier's run that export needs."""

    data: _DataOfRun


def _is_run_folder(path: Path) -> bool:
    """Whether a path is a folder that Keras did not write."""
    return path.is_dir() and not is_saved_model(path) and not (path / "config.json").is_file()


def _run_of(path: Path) -> tuple[_Run | None, dict[str, Any]]:
    """The run of a run folder or of the model file in one; None for any other Keras file."""
    if _is_run_folder(path):
        return _read_run(path / RECIPE)
    if path.name == RUN_MODEL:
        with suppress(ModelError):  # another program's recipe.json
            return _read_run(path.with_name(RECIPE))
    return None, {}


def _read_run(path: Path) -> tuple[_Run, dict[str, Any]]:
    """Read the record of a classifier's run; see `read_run_record`."""
    try:
        return read_run_record(_Run, path)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path.parent} is not a run folder: {path.name} is missing or damaged; pass a .keras file"
        ) from error


def _check_ends(model: Any, file: Path) -> tuple[ImageLayout, int]:
    """Check input and output shape of a model.

    Returns:
        The layout of the input, and the number of outputs.
    """
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs:
        raise ModelError(f"{file} has no fixed input shape; call the model on an image before saving it")
    if len(inputs) != 1:
        shapes = ", ".join(str(tuple(value.shape)) for value in inputs)
        raise ModelError(f"{file} has {len(inputs)} inputs of shape {shapes}, expected one; save a model of one image")
    try:
        layout = ImageLayout.of(inputs[0].shape)
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from error
    ends = () if isinstance(model, keras.Sequential) else (model.input, model.output)
    if any(isinstance(end, dict) for end in ends):
        raise ModelError(f"{file} has a dict as input or output, expected one tensor each")
    if len(outputs) != 1 or len(outputs[0].shape) != 2 or not outputs[0].shape[1]:
        shapes = ", ".join(str(tuple(value.shape)) for value in outputs)
        raise ModelError(f"{file} has output shape {shapes}, expected (None, K) with a column for each of K classes")
    return layout, int(outputs[0].shape[1])


def _known_range(
    given: PixelRange, recorded_scale: Literal[1, 255] | None, path: Path, model: keras.Model
) -> PixelRange:
    """Complete a pixel range with the scale of the run or of the model."""
    if given.scale and recorded_scale and given.scale != recorded_scale:
        raise UsageError(f"{path} was trained with input scale {recorded_scale}, not {given.scale}; omit --input-scale")
    return replace(given, scale=given.scale or recorded_scale or _detect_scale(model, path))


def _detect_scale(model: keras.Model, file: Path) -> Literal[1, 255]:
    """Detect the input scale from a Rescaling layer whose output range is 0 to 1 or -1 to 1."""
    for layer in every_layer(model):
        if isinstance(layer, keras.layers.Rescaling):
            span = float(np.max(layer.scale))
            for white in (1, 255):
                if 0.9 < span * white < 2.1:
                    return 1 if white == 1 else 255
    raise UsageError(
        f"{file} does not record its input scale; pass --input-scale 1 (pixels 0–1) or --input-scale 255 (pixels 0–255)"
    )
