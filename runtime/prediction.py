"""`Prediction`: the result of reading one picture."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "blank", "uncertain"]


@dataclass(frozen=True)
class Prediction:
    """What a classifier reads in one picture.

    Attributes:
        digit: the most probable class; None if the picture is blank.
        label: that class's name; None if the picture is blank.
        confidence: its probability; 0 if the picture is blank.
        probabilities: of all classes, in the order of `labels`; zeros if the picture is blank.
        status: "blank" without ink, "uncertain" where the confidence is below the model's threshold, else "ok".
        labels: the classes' names.
        provider: what computed it.
    """

    digit: int | None
    label: str | None
    confidence: float
    probabilities: tuple[float, ...]
    status: Status
    labels: tuple[str, ...]
    provider: str

    def top(self, count: int) -> list[tuple[str, float]]:
        """The names and probabilities of the `count` most probable classes, best first; none if blank."""
        if self.status == "blank":
            return []
        return sorted(zip(self.labels, self.probabilities, strict=True), key=lambda pair: -pair[1])[:count]


def probability_text(probability: float) -> str:
    """A probability as a percentage; never 100 %, which no model can know."""
    return ">99.9 %" if probability >= 0.9995 else f"{100 * probability:.1f} %"
