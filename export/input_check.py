"""Check that a Keras model receives the input it was trained on: `check_accuracy()`.

Parity compares a graph with Keras. If both get the wrong input, for example inverted pixels, parity holds and every
prediction is wrong. Therefore the accuracy of Keras is compared with guessing, with the accuracy that the run recorded,
and with other pixel ranges.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from digits_edge.export.keras_outputs import ReferenceOutputs
from digits_edge.export.source import Source
from digits_edge.runtime.checks.accuracy import Accuracy
from digits_edge.runtime.datasets import Dataset, stratified
from digits_edge.runtime.errors import CheckError
from digits_edge.runtime.model.pixel_range import PixelRange

#: Number of images that other pixel ranges are tried on.
_TRIAL_IMAGES = 500
#: Errors, as a share of the images, by which the accuracy may be below that of the run.
_MAX_SHORTFALL = 0.02
#: Another pixel range is clearly better with at most half the errors, at this many standard deviations (McNemar).
_CLEAR_SIGMAS = 4.0
#: Means and standard deviations of the channels with which models pretrained on ImageNet are often trained.
_IMAGENET_MEANS, _IMAGENET_STDS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Trial:
    """A pixel range that was tried, and which images Keras then classifies correctly, bool (N,)."""

    pixel_range: PixelRange
    correct: NDArray[np.bool_]

    @property
    def accuracy(self) -> float:
        """Share of correctly classified images."""
        return float(self.correct.mean())


def check_accuracy(
    source: Source, outputs: ReferenceOutputs | None, training: Dataset | None, *, name: str = "validation images"
) -> Accuracy | None:
    """Check the accuracy of a Keras model with the input that its pixel range gives it.

    Args:
        source: the Keras model.
        outputs: its predictions for labelled images; None if there are none.
        training: the training data, whose mean and standard deviation are tried.
        name: what the images are, for the message.

    Returns:
        The accuracy; None if there are no labelled images.

    Raises:
        CheckError: the model classifies like chance, far below the accuracy that its run recorded, or far better with
            another pixel range. The message names the pixel range with which it is best.

    Example:
        >>> source = read_source(Path("mine.keras"), pixel_range=PixelRange(1))  # doctest: +SKIP
        >>> check_accuracy(source, run_keras(source, mnist).validation, mnist)  # doctest: +SKIP
        Accuracy(errors=6, images=600)
    """
    if outputs is None or outputs.labels is None or not len(outputs.labels):
        return None
    correct = outputs.probabilities.argmax(axis=1) == outputs.labels
    accuracy = Accuracy(int((~correct).sum()), len(correct))
    recorded = source.validation_accuracy
    problem = _problem(accuracy, outputs.labels, recorded)
    if not problem and recorded is not None:
        return accuracy  # the run's own accuracy confirms the input
    rows = stratified(outputs.labels, _TRIAL_IMAGES)
    labels = outputs.labels[rows]
    best = max(_trials(source, outputs.images[rows], labels, training), key=lambda trial: trial.accuracy)
    is_better = _is_clearly_better(best.correct, correct[rows])
    if not problem and not is_better:
        return accuracy
    raise CheckError(
        f"with pixels {source.pixel_range.description}, Keras classifies only {accuracy.value:.1%} of {len(correct):,} "
        f"{name} correctly{problem}; nothing is written; {_remedy(source, best, correct[rows], labels)}"
    )


def _problem(accuracy: Accuracy, labels: NDArray[np.unsignedinteger], recorded: float | None) -> str:
    """Why an accuracy cannot be right; empty if it can."""
    if recorded is not None and accuracy.value < recorded - max(1 - recorded, _MAX_SHORTFALL):
        return f", but its run recorded {recorded:.1%}"
    return ", like guessing" if accuracy.is_chance(labels) else ""


def _remedy(source: Source, best: Trial, own: NDArray[np.bool_], labels: NDArray[np.unsignedinteger]) -> str:
    is_sane = not Accuracy(int((~best.correct).sum()), len(labels)).is_chance(labels)
    if is_sane and int((~best.correct).sum()) <= int((~own).sum()) / 2:
        return f"with {best.pixel_range.options}, {best.accuracy:.1%} are correct: pass these options"
    return (
        f"0–1, 0–255, inverted and standardized pixels are not better: check that {source.name} is trained, "
        "that --data is its data, and that --labels are in its order"
    )


def _trials(
    source: Source, images: NDArray[np.uint8], labels: NDArray[np.unsignedinteger], training: Dataset | None
) -> Iterator[Trial]:
    """Run the Keras model with every likely pixel range except its own."""
    reference = images if training is None else training.images
    for pixel_range in likely_ranges(reference):
        if pixel_range != source.pixel_range:
            outputs = replace(source, pixel_range=pixel_range).outputs(images)
            # NaN is never the largest
            yield Trial(pixel_range, np.nan_to_num(outputs, nan=-np.inf).argmax(axis=1) == labels)


def likely_ranges(images: NDArray[np.uint8]) -> list[PixelRange]:
    """The pixel ranges that training scripts use: 0–1, 0–255, −1–1, and standardized.

    Each also inverted for grey levels; standardized also by channel, and as for ImageNet, for colours.

    Args:
        images: the training images, uint8 (N, H, W) or (N, H, W, 3), for mean and standard deviation.

    Example:
        >>> [each.options for each in likely_ranges(np.array([0, 255], np.uint8))][:3]
        ['--input-scale 1', '--input-scale 255', '--input-scale 1 --mean 0.5 --std 0.5']
    """
    mean, std = float(images.mean()) / 255, max(float(images.std()) / 255, 1e-3)
    plain = [
        PixelRange(1),
        PixelRange(255),
        PixelRange(1, mean=0.5, std=0.5),
        PixelRange(1, mean=float(f"{mean:.4g}"), std=float(f"{std:.4g}")),
    ]
    if images.ndim == 4:
        means, stds = images.mean((0, 1, 2)) / 255, np.maximum(images.std((0, 1, 2)) / 255, 1e-3)
        own = PixelRange(1, mean=_rounded(means), std=_rounded(stds))
        return [*plain, own, PixelRange(1, mean=_IMAGENET_MEANS, std=_IMAGENET_STDS)]
    inverted_mean = float(f"{1 - mean:.4g}")
    inverted = [*plain[:-1], replace(plain[-1], mean=inverted_mean)]
    return plain + [replace(each, invert=True) for each in inverted]


def _rounded(numbers: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(f"{number:.4g}") for number in numbers)


def _is_clearly_better(other: NDArray[np.bool_], own: NDArray[np.bool_]) -> bool:
    """Whether one pixel range makes at most half the errors of another, beyond chance."""
    gained, lost = int((other & ~own).sum()), int((own & ~other).sum())
    halved = int((~other).sum()) <= int((~own).sum()) / 2
    return halved and gained - lost > _CLEAR_SIGMAS * float(np.sqrt(gained + lost))
