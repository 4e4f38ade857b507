"""Calibrated Keras predictions that an export is compared with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from digits_edge.export.ensemble import mean_probabilities
from digits_edge.export.graph.ends import to_logits
from digits_edge.export.reference import candidate_images
from digits_edge.export.source import Source, calibrated_outputs
from digits_edge.export.temperature import fit_temperature
from digits_edge.runtime.datasets import Dataset, parts


@dataclass(frozen=True, eq=False)
class ReferenceOutputs:
    """Images and Keras's calibrated predictions for them.

    Attributes:
        images: uint8 (N, H, W) or (N, H, W, 3).
        probabilities: float32 (N, C).
        labels: true classes, (N,); None if unknown.
    """

    images: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    labels: NDArray[np.unsignedinteger] | None = None

    def first(self, count: int) -> "ReferenceOutputs":
        """The first images with their predictions."""
        labels = None if self.labels is None else self.labels[:count]
        return ReferenceOutputs(self.images[:count], self.probabilities[:count], labels)


@dataclass(frozen=True, eq=False)
class KerasOutputs:
    """Keras's predictions and the temperature that calibrates them.

    Attributes:
        temperature: divisor of the logits; 1 for an ensemble, whose members have their own temperatures.
        calibrated: whether the temperature was fitted on validation images.
        reference: predictions for the reference images, candidates for the golden values.
        validation: predictions for the validation part of the training data; None without training data.
        calibration: predictions for the images that the confidence is calibrated on: the validation images, and those
            that the run stored for it; None without training data.
    """

    temperature: float
    calibrated: bool
    reference: ReferenceOutputs
    validation: ReferenceOutputs | None
    calibration: ReferenceOutputs | None

    @property
    def compared(self) -> ReferenceOutputs:
        """The validation images or, without them, the reference images."""
        return self.validation or self.reference


def run_keras(
    source: Source, training: Dataset | None, reference_images: NDArray[np.uint8] | None = None
) -> KerasOutputs:
    """Run a Keras model on the reference and validation images and calibrate its probabilities.

    Args:
        source: the Keras model.
        training: its training data; the temperature is fitted on its validation part, and on the images that the run
            stored for it.
        reference_images: uint8 (N, H, W) or (N, H, W, 3), candidates for the golden values; None for drawn ones.
    """
    images, fitted_temperature = reference_images, None
    validation = calibration = None
    if images is None:
        images = candidate_images(source.image, source.labels, source.preprocessing)
    if training is not None and training.labels is not None:
        validation_set = training.taken(parts(training.labels, source.validation).validation, "validation")
        assert validation_set.labels is not None
        shown, labels = validation_set.images, validation_set.labels
        if source.calibration is not None:
            shown = np.concatenate([shown, source.calibration.images])
            labels = np.concatenate([labels, source.calibration.labels])
        outputs = source.outputs(shown)
        if source.output == "softmax":
            fitted_temperature = fit_temperature(to_logits(outputs, source.activation), labels)
        probabilities = source.probabilities(outputs, fitted_temperature or 1.0)
        calibration = ReferenceOutputs(shown, probabilities, labels)
        validation = calibration.first(len(validation_set))
    temperature = fitted_temperature or 1.0
    reference = ReferenceOutputs(images, calibrated_outputs(source, images, temperature))
    return KerasOutputs(temperature, fitted_temperature is not None, reference, validation, calibration)


def average_outputs(members: Sequence[Source], outputs: Sequence[KerasOutputs]) -> KerasOutputs:
    """Average the predictions of an ensemble's members.

    If the members have different validation images (folds of a cross-validation) or images for the calibration, all
    members are evaluated on those of the first.

    Args:
        members: the Keras models.
        outputs: the predictions of each member, in the same order.

    Returns:
        The mean of the members' predictions; for a single member its own predictions.
    """
    if len(outputs) == 1:
        return outputs[0]
    first = outputs[0]
    reference = replace(
        first.reference, probabilities=mean_probabilities([own.reference.probabilities for own in outputs])
    )
    calibration = first.calibration
    if calibration is not None:
        per_member = [_on(calibration, member, own) for member, own in zip(members, outputs, strict=True)]
        calibration = replace(calibration, probabilities=mean_probabilities(per_member))
    validation = None
    if calibration is not None and first.validation is not None:
        validation = calibration.first(len(first.validation.images))
    return KerasOutputs(1.0, all(own.calibrated for own in outputs), reference, validation, calibration)


def _on(calibration: ReferenceOutputs, member: Source, own: KerasOutputs) -> NDArray[np.float32]:
    """A member's probabilities for the images of another's calibration, which are often its own."""
    if own.calibration is not None and np.array_equal(own.calibration.images, calibration.images):
        return own.calibration.probabilities
    return calibrated_outputs(member, calibration.images, own.temperature)
