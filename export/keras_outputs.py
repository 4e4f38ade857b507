"""What Keras answers, calibrated, to the images an export is compared on: `ask()`, and `together()` for an ensemble."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from digits_edge.export.ensemble import mean_of
from digits_edge.export.reference import candidate_images
from digits_edge.export.source import Source, calibrated_outputs
from digits_edge.export.temperature import fit_temperature, softmax
from digits_edge.runtime.datasets import Dataset, parts


@dataclass(frozen=True, eq=False)
class ReferenceOutputs:
    """Images, Keras's calibrated answers to them, and the truth where it is known."""

    images: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    labels: NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False)
class KerasOutputs:
    """What Keras answers.

    Attributes:
        temperature: what its logits were divided by; 1 where several answer together, each with its own.
        calibrated: whether that was fitted on validation images.
        reference: the digits that this project draws.
        validation: the images by which the source was chosen; None without its data.
    """

    temperature: float
    calibrated: bool
    reference: ReferenceOutputs
    validation: ReferenceOutputs | None

    @property
    def compared(self) -> ReferenceOutputs:
        """The validation images or, without them, the reference images."""
        return self.validation or self.reference


def ask(source: Source, training: Dataset | None) -> KerasOutputs:
    """Ask Keras, with the temperature that fits the source's own validation part of its training data."""
    images, fitted, validation = candidate_images(), None, None
    if training is not None and training.labels is not None:
        validating = training.taken(parts(training.labels, source.validation).validation, "validation")
        assert validating.labels is not None
        logits = source.logits(validating.images)
        fitted = fit_temperature(logits, validating.labels)
        validation = ReferenceOutputs(validating.images, softmax(logits, fitted or 1.0), validating.labels)
    temperature = fitted or 1.0
    reference = ReferenceOutputs(images, calibrated_outputs(source, images, temperature))
    return KerasOutputs(temperature, fitted is not None, reference, validation)


def together(members: Sequence[Source], asked: Sequence[KerasOutputs]) -> KerasOutputs:
    """The mean of what each member answered; of one, what it answered.

    Where other images validated each (the folds of a cross-validation), all answer those of the first.
    """
    if len(asked) == 1:
        return asked[0]
    validation = asked[0].validation

    def to_the_first(member: Source, own: KerasOutputs) -> NDArray[np.float32]:
        assert validation is not None and own.validation is not None
        if member.validation == members[0].validation:
            return own.validation.probabilities
        return calibrated_outputs(member, validation.images, own.temperature)

    if validation is not None:
        answers = [to_the_first(member, own) for member, own in zip(members, asked, strict=True)]
        validation = replace(validation, probabilities=mean_of(answers))
    reference = replace(asked[0].reference, probabilities=mean_of([own.reference.probabilities for own in asked]))
    return KerasOutputs(1.0, all(own.calibrated for own in asked), reference, validation)
