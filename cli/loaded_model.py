"""Classifiers opened from a model file or a Keras model, with the same interface for both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.cli.extras import needs_extra
from digits_edge.cli.options import file_path
from digits_edge.cli.output import progress
from digits_edge.runtime.classifier import FEW_IMAGES, MAX_BATCH, Classifier
from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.pixel_range import PixelRange
from digits_edge.runtime.model.steps import PreprocessingStep

if TYPE_CHECKING:
    from digits_edge.export import Source


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A classifier that runs in ONNX Runtime or in Keras.

    Attributes:
        name: name or path on the command line.
        labels: class names.
        data: record of the training data; empty if unknown.
        predictor: the Keras model or the ONNX classifier.
        path: model file or run folder.
    """

    name: str
    labels: tuple[str, ...]
    data: dict[str, Any]
    predictor: "Source | Classifier"
    path: Path

    @property
    def provider(self) -> str:
        """Short name of the ONNX Runtime provider, or "keras"."""
        return self.predictor.provider if isinstance(self.predictor, Classifier) else "keras"

    @property
    def image(self) -> ImageInput:
        """Size, channels and polarity of the model's images."""
        return self.predictor.metadata.input if isinstance(self.predictor, Classifier) else self.predictor.image

    @property
    def preprocessing(self) -> tuple[PreprocessingStep, ...]:
        """The steps that convert a picture to such an image; empty if they are unknown."""
        if isinstance(self.predictor, Classifier):
            return self.predictor.metadata.preprocessing
        return self.predictor.preprocessing

    @property
    def rules(self) -> tuple[str, ...]:
        """Validation rules of the training data, one per member of an ensemble; empty if unknown."""
        if isinstance(self.predictor, Classifier) and self.predictor.metadata.members:
            return tuple(member.validation for member in self.predictor.metadata.members)
        # runs and files that record their data without a rule were made before there were rules
        return (str(self.data.get("validation", "tenth")),) if self.data else ()

    def probabilities(self, images: NDArray[np.uint8], *, label: str = "predicting") -> NDArray[np.float32]:
        """Predict class probabilities and show a progress bar.

        Args:
            images: uint8 (N, H, W) or (N, H, W, 3), N at least 1.
            label: text of the progress bar.

        Returns:
            float32 (N, C).
        """
        if isinstance(self.predictor, Classifier):
            return _in_blocks(self.predictor.predict_batch, images, label)
        return self.predictor.probabilities(_in_blocks(self.predictor.outputs, images, label))


def open_model(
    model: str,
    *,
    provider: str,
    threads: int | None,
    pixel_range: PixelRange,
    labels: Sequence[str] | None,
) -> LoadedModel:
    """Open a run folder, a .keras or .h5 file, a model file or a bundled model.

    Args:
        model: name or path.
        provider: ONNX Runtime provider; not used for Keras models.
        threads: number of threads; None for all available.
        pixel_range: input of a Keras model; without a scale, it is read from the model.
        labels: class names; None for those of the model.

    Raises:
        ModelError: the model cannot be read or the provider is not available.
        UsageError: the input scale or the labels are missing, or the number of labels is wrong.
    """
    path = file_path(model)
    if is_keras(path):
        with needs_extra("export"):
            from digits_edge.export import read_source

            source = read_source(path, pixel_range=pixel_range, labels=labels)
        return LoadedModel(model, source.labels, source.data, source, path)
    classifier = Classifier(model, provider=provider, threads=threads, images=FEW_IMAGES)
    class_names = tuple(labels or classifier.labels)
    if len(class_names) != len(classifier.labels):
        raise UsageError(f"{model} has {len(classifier.labels)} classes, but --labels names {len(class_names)}")
    return LoadedModel(model, class_names, classifier.metadata.data, classifier, classifier.path)


def is_keras(path: Path) -> bool:
    """Whether Keras reads this path: a run folder, a .keras file or a .h5 file.

    Example:
        >>> is_keras(Path("model.keras")), is_keras(Path("model.onnx"))
        (True, False)
    """
    return path.is_dir() or path.suffix in (".keras", ".h5")


def _in_blocks(
    predict: Callable[[NDArray[np.uint8]], NDArray[np.float32]], images: NDArray[np.uint8], label: str
) -> NDArray[np.float32]:
    advance = progress(label)
    blocks = []
    for start in range(0, len(images), MAX_BATCH):
        blocks.append(predict(images[start : start + MAX_BATCH]))
        advance(min(start + MAX_BATCH, len(images)), len(images))
    return np.concatenate(blocks)
