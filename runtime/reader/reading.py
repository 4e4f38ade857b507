"""`Reading`: the numbers in one picture, with their lines and digits."""

from dataclasses import dataclass
from typing import Any, Literal

from digits_edge.runtime.preprocessing.levels import Box

ReadingStatus = Literal["ok", "uncertain", "blank", "not-a-number"]
#: Decimals of confidences in JSON.
_DECIMALS = 6


@dataclass(frozen=True)
class Digit:
    """A character of a number: a digit or a separator.

    Attributes:
        digit: the character, as read.
        confidence: its probability, 0 to 1.
        box: left, upper, right, lower of its ink, in pixels of the picture.
    """

    digit: str
    confidence: float
    box: Box


@dataclass(frozen=True)
class Alternative:
    """Another number that a line may show.

    Attributes:
        text: its characters.
        confidence: probability of the number, 0 to 1.
    """

    text: str
    confidence: float


@dataclass(frozen=True)
class Line:
    """A line of a picture.

    Attributes:
        text: the number, with its separators as read; empty if there is none, or none that satisfies the constraints.
        confidence: probability of the number, 0 to 1: of all texts with the same digits and decimals (see
            `digits_edge.runtime.reader.number_values`); 0 if it is empty.
        status: "uncertain" if the confidence is below the model's threshold, or no number satisfies the constraints;
            "blank" if there is no ink, "not-a-number" if there is something else; otherwise "ok".
        box: left, upper, right, lower in pixels of the picture.
        digits: the characters of `text`, from left to right.
        alternatives: the next most probable numbers.
    """

    text: str
    confidence: float
    status: ReadingStatus
    box: Box
    digits: tuple[Digit, ...] = ()
    alternatives: tuple[Alternative, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The line as JSON values.

        Example:
            >>> Line("7", 0.5, "uncertain", (0, 0, 9, 9), (Digit("7", 0.5, (1, 1, 8, 8)),)).to_json()["digits"]
            [{'digit': '7', 'confidence': 0.5, 'box': [1, 1, 8, 8]}]
        """
        return {
            "text": self.text,
            "confidence": round(self.confidence, _DECIMALS),
            "status": self.status,
            "box": list(self.box),
            "digits": [
                {"digit": each.digit, "confidence": round(each.confidence, _DECIMALS), "box": list(each.box)}
                for each in self.digits
            ],
            "alternatives": [
                {"text": each.text, "confidence": round(each.confidence, _DECIMALS)} for each in self.alternatives
            ],
        }


@dataclass(frozen=True)
class Reading:
    """The numbers in one picture.

    Attributes:
        status: "ok" if all lines are; "uncertain" if a number is; "blank" if there is no ink, "not-a-number" if there
            is no number.
        lines: the lines with a number, from top to bottom; if regions were given, one line for each region.
        turned_degrees: by how much the picture was turned clockwise for reading, 0, 90, 180 or 270. Boxes are in pixels
            of the picture as it was given.

    Example:
        >>> lines = Line("2026", 0.97, "ok", (10, 10, 90, 40)), Line("7", 0.99, "ok", (10, 60, 30, 90))
        >>> Reading("ok", lines).text.split()
        ['2026', '7']
    """

    status: ReadingStatus
    lines: tuple[Line, ...] = ()
    turned_degrees: int = 0

    @property
    def text(self) -> str:
        """The numbers of all lines, separated by line breaks."""
        return "\n".join(line.text for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        """The reading as JSON values: `status` and `lines`.

        Example:
            >>> Reading("blank").to_json()
            {'status': 'blank', 'lines': []}
        """
        return {"status": self.status, "lines": [line.to_json() for line in self.lines]}


def reading_of(lines: tuple[Line, ...], turned_degrees: int = 0) -> Reading:
    """The reading of lines, with the status that follows from theirs.

    Example:
        >>> reading_of((Line("", 0.0, "blank", (0, 0, 9, 9)), Line("7", 0.9, "ok", (0, 0, 9, 9)))).status
        'ok'
    """
    statuses = {line.status for line in lines}
    order: tuple[ReadingStatus, ...] = ("uncertain", "ok", "not-a-number")
    return Reading(next((each for each in order if each in statuses), "blank"), lines, turned_degrees)
