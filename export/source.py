"""What is exported: a run folder, or anybody's Keras file."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from digits_edge.export.temperature import softmax
from digits_edge.runtime.datasets.catalogue import DIGITS
from digits_edge.runtime.errors import ModelError, UsageError
from digits_edge.runtime.json_record import as_record, read_json

#: What white is in the images that a model takes: 1 where they were divided by 255, 255 where they are raw pixels.
InputScale = Literal[1, 255]
INPUT_SIZES = ((784,), (28, 28), (28, 28, 1))
_BATCH = 500
#: How far float16 probabilities of ten classes may be from a sum of 1.
_ROUNDING = 1e-2


@dataclass(frozen=True)
class Source:
    """A Keras classifier of 28×28 images and what is known of it.

    Attributes:
        name: of the model: the architecture, or the file's stem.
        architecture: the Keras model's name.
        model: the Keras model.
        input_scale: what white is in its input.
        labels: the classes' names.
        data: what the run folder says of the training data; empty for a bare file.
        versions: the libraries it was trained with, as far as they are known.
    """

    name: str
    architecture: str
    model: keras.Model
    input_scale: InputScale
    labels: tuple[str, ...]
    data: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def members(self) -> tuple["Source", ...]:
        """Itself alone: what an `Ensemble` has several of."""
        return (self,)

    @property
    def parameters(self) -> int:
        """How many numbers the Keras model consists of."""
        return int(self.model.count_params())

    @property
    def validation(self) -> str:
        """The rule that parted the training data, as `digits_edge.runtime.datasets.parts` takes it."""
        return str(self.data.get("validation", "tenth"))

    @property
    def pixel_scale(self) -> float:
        """A pixel times this is what the model takes."""
        return self.input_scale / 255

    def inputs(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Images, uint8 (N, 28, 28), as the model takes them: float32, in its shape and scale."""
        inputs = images.reshape(len(images), *self.model.inputs[0].shape[1:]).astype(np.float32)
        if self.input_scale == 1:
            inputs /= np.float32(255)
        return inputs

    def answers(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What Keras answers: logits or probabilities, as the model ends, float32 (N, C), for uint8 (N, 28, 28)."""
        inputs = self.inputs(images)
        batches = [
            self.model(inputs[start : start + _BATCH], training=False) for start in range(0, len(inputs), _BATCH)
        ]
        return np.concatenate([keras.ops.convert_to_numpy(batch) for batch in batches]).astype(np.float32)

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Keras's logits, float32 (N, C), for uint8 (N, 28, 28)."""
        return as_logits(self.answers(images))


def as_logits(answers: NDArray[np.float32]) -> NDArray[np.float32]:
    """The logits of a model's answers, (N, C), whichever way it ends.

    Answers that are probabilities in every row come from a softmax; its logits are known up to a constant per row,
    which no softmax sees.
    """
    if (answers < 0).any() or np.abs(answers.sum(axis=1) - 1).max(initial=0) > _ROUNDING:
        return answers
    logits: NDArray[np.float32] = np.log(np.maximum(answers, np.finfo(np.float32).tiny))
    return logits


def calibrated_outputs(source: Source, images: NDArray[np.uint8], temperature: float) -> NDArray[np.float32]:
    """Keras's probabilities, float32 (N, C), under the temperature that a model file has folded in."""
    return softmax(source.logits(images), temperature)


def read_source(path: Path, *, input_scale: InputScale | None = None, labels: Sequence[str] | None = None) -> Source:
    """Read a run folder or a `.keras` or `.h5` file.

    Args:
        path: the folder or file.
        input_scale: what white is in the model's input; None reads it from the run's recipe or from a Rescaling layer.
        labels: the classes' names; None takes those of the run, or the ten digits.

    Raises:
        ModelError: it cannot be read, or is no classifier of 28×28 images.
        UsageError: the scale or the labels are not known and not given, or the run was trained with another scale.
    """
    run: _Run | None = None
    data: dict[str, Any] = {}
    file = path
    if path.is_dir():
        file = path / "model.keras"
        run, data = _read_run(path / "recipe.json")
    model = _load(file)
    classes = _check_shape(model, file)
    known = run.data if run is not None else _DataOfRun("")
    known_labels = tuple(labels or known.classes or (DIGITS if classes == len(DIGITS) else ()))
    if len(set(known_labels)) != len(known_labels) or not all(label.strip() for label in known_labels):
        raise UsageError(f"labels {','.join(known_labels)!r} are not all different names; name each class once")
    if len(known_labels) != classes:
        raise UsageError(
            f"{file} tells {classes} classes apart and {len(known_labels)} labels are known; name all with --labels"
        )
    if input_scale and (known.input_scale or input_scale) != input_scale:
        raise UsageError(
            f"{path} was trained with white as {known.input_scale}, not {input_scale}; leave --input-scale out"
        )
    return Source(
        name=run.recipe.model if run is not None else file.stem,
        architecture=run.recipe.model if run is not None else model.name,
        model=model,
        input_scale=input_scale or known.input_scale or _scale_of(model, file),
        labels=known_labels,
        data=data,
        versions=run.versions if run is not None else {},
    )


@dataclass(frozen=True)
class _RecipeOfRun:
    model: str


@dataclass(frozen=True)
class _DataOfRun:
    name: str
    input_scale: InputScale | None = None
    classes: tuple[str, ...] = ()
    validation: str = "tenth"


@dataclass(frozen=True)
class _Run:
    """What is read of a run folder's recipe.json; its other keys are for those who train."""

    recipe: _RecipeOfRun
    data: _DataOfRun
    versions: dict[str, str] = field(default_factory=dict)


def _read_run(path: Path) -> tuple[_Run, dict[str, Any]]:
    """What is read of a recipe.json, and all that it says of its data."""
    try:
        about = read_json(path)
        return as_record(_Run, about), dict(about["data"])
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path.parent} is not a run folder: {path.name} is missing or damaged; name a .keras file"
        ) from error


def _load(file: Path) -> keras.Model:
    if not os.access(file, os.R_OK):
        raise ModelError(f"{file} cannot be read; name a run folder, a .keras or a .h5 file")
    try:
        # safe_mode refuses Lambda layers: no code from the file runs
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its parts raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{file} is not a Keras model that can be loaded safely: {reason}") from error


def _check_shape(model: Any, file: Path) -> int:
    """The number of classes of a model with one input and one output of the shapes we take."""
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs:
        raise ModelError(f"{file} has no fixed input; call the model on an image before saving it")
    if len(inputs) != 1 or tuple(inputs[0].shape[1:]) not in INPUT_SIZES:
        shapes = ", ".join(str(tuple(value.shape)) for value in inputs)
        raise ModelError(f"{file} takes {shapes}; only classifiers of 784, 28×28 or 28×28×1 can be exported")
    ends = () if isinstance(model, keras.Sequential) else (model.input, model.output)
    if any(isinstance(end, dict) for end in ends):
        raise ModelError(f"{file} names its inputs or outputs; a classifier takes and gives one tensor")
    if len(outputs) != 1 or len(outputs[0].shape) != 2 or (outputs[0].shape[1] or 0) < 2:
        shapes = ", ".join(str(tuple(value.shape)) for value in outputs)
        raise ModelError(f"{file} answers with {shapes}; a classifier answers with one row of at least two numbers")
    return int(outputs[0].shape[1])


def _layers(model: Any) -> Iterator[Any]:
    """All layers, those of models within the model too."""
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from _layers(layer)


def _scale_of(model: keras.Model, file: Path) -> InputScale:
    """What white is, as a Rescaling layer tells that brings it to 1 or, with -1 for black, to a span of 2."""
    for layer in _layers(model):
        if isinstance(layer, keras.layers.Rescaling):
            span = float(np.max(layer.scale))
            for white in (1, 255):
                if 0.9 < span * white < 2.1:
                    return 1 if white == 1 else 255
    raise UsageError(
        f"{file} does not say how its images are scaled; --input-scale 1 (white is 1) or 255 (white is 255)"
    )
