"""`Prediction`: the result of classifying one picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "blank", "uncertain", "several"]


@dataclass(frozen=True)
class Prediction:
    """The result of classifying one picture.

    Attributes:
        digit: index of the most probable class; None if the picture is blank or has several digits.
        label: name of that class; None likewise.
        confidence: probability of that class, 0 to 1; 0 likewise.
        probabilities: probability of each class, in the order of `labels`; zeros likewise.
        status: "blank" if the picture has no ink, "several" if it has several digits, "uncertain" if `confidence` is
            below the model's threshold (`Metadata.uncertain_below`), else "ok".
        labels: names of the classes.
        provider: short name of the execution provider that computed it.
        boxes: left, upper, right, lower of each digit found, from left to right, in pixels of the picture as
            `open_picture` returns it; empty if the picture is blank or is an image in the model's format already.

    Example:
        >>> prediction = Prediction(
        ...     digit=1,
        ...     label="cat",
        ...     confidence=0.75,
        ...     probabilities=(0.05, 0.75, 0.2),
        ...     status="ok",
        ...     labels=("ant", "cat", "dog"),
        ...     provider="cpu",
        ... )
        >>> if prediction.status == "ok":
        ...     print(prediction.label)
        cat
        >>> prediction.top(2)
        [('cat', 0.75), ('dog', 0.2)]
    """

    digit: int | None
    label: str | None
    confidence: float
    probabilities: tuple[float, ...]
    status: Status
    labels: tuple[str, ...]
    provider: str
    boxes: tuple[tuple[int, int, int, int], ...] = ()

    def top(self, count: int) -> list[tuple[str, float]]:
        """The `count` most probable classes as (label, probability), most probable first; empty without a label."""
        if self.label is None:
            return []
        return sorted(zip(self.labels, self.probabilities, strict=True), key=lambda pair: -pair[1])[:count]


def subject(labels: Sequence[str]) -> str:
    """The word for what a model finds in a picture, by the names of its classes: digit, character or object.

    Example:
        >>> subject("0123"), subject("ABC"), subject(["Shirt", "Bag"])
        ('digit', 'character', 'object')
    """
    if any(len(label) > 1 for label in labels):
        return "object"
    return "digit" if all(label.isdecimal() for label in labels) else "character"


def probability_text(probability: float) -> str:
    """Format a probability as a percentage with one decimal; values that round to 100 % become ">99.9 %".

    Example:
        >>> probability_text(0.873), probability_text(0.99999)
        ('87.3 %', '>99.9 %')
    """
    return ">99.9 %" if probability >= 0.9995 else f"{100 * probability:.1f} %"
