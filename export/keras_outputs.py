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


@dataclass(frozen=True, eq=False)
class KerasOutputs:
    """Keras's predictions and the temperature that calibrates them.

    Attributes:
        temperature: divisor of the logits; 1 for an ensemble, whose members have their own temperatures.
        calibrated: whether the temperature was fitted on validation images.
        reference: predictions for the reference images, candidates for the golden values.
        validation: predictions for the validation part of the training data; None without training data.
    """

    temperature: float
    calibrated: bool
    reference: ReferenceOutputs
    validation: ReferenceOutputs | None

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
        training: its training data; the temperature is fitted on its validation part.
        reference_images: uint8 (N, H, W) or (N, H, W, 3), candidates for the golden values; None for drawn ones.
    """
    images, fitted_temperature, validation = reference_images, None, None
    if images is None:
        images = candidate_images(source.image, source.labels, source.preprocessing)
    if training is not None and training.labels is not None:
        validation_set = training.taken(parts(training.labels, source.validation).validation, "validation")
        assert validation_set.labels is not None
        outputs = source.outputs(validation_set.images)
        if source.output == "softmax":
            fitted_temperature = fit_temperature(to_logits(outputs, source.activation), validation_set.labels)
        probabilities = source.probabilities(outputs, fitted_temperature or 1.0)
        validation = ReferenceOutputs(validation_set.images, probabilities, validation_set.labels)
    temperature = fitted_temperature or 1.0
    reference = ReferenceOutputs(images, calibrated_outputs(source, images, temperature))
    return KerasOutputs(temperature, fitted_temperature is not None, reference, validation)


def average_outputs(members: Sequence[Source], outputs: Sequence[KerasOutputs]) -> KerasOutputs:
    """Average the predictions of an ensemble's members.

    If the members have different validation images (folds of a cross-validation), all members are evaluated on the
    validation images of the first.

    Args:
        members: the Keras models.
        outputs: the predictions of each member, in the same order.

    Returns:
        The mean of the members' predictions; for a single member its own predictions.
    """
    if len(outputs) == 1:
        return outputs[0]
    validation = outputs[0].validation

    def validation_probabilities(member: Source, own: KerasOutputs) -> NDArray[np.float32]:
        assert validation is not None and own.validation is not None
        if member.validation == members[0].validation:
            return own.validation.probabilities
        return calibrated_outputs(member, validation.images, own.temperature)

    if validation is not None:
        per_member = [validation_probabilities(member, own) for member, own in zip(members, outputs, strict=True)]
        validation = replace(validation, probabilities=mean_probabilities(per_member))
    reference = replace(
        outputs[0].reference, probabilities=mean_probabilities([own.reference.probabilities for own in outputs])
    )
    return KerasOutputs(1.0, all(own.calibrated for own in outputs), reference, validation)
