"""Several digits in one picture: `separate_digits`.

The numeric constants are exported to JavaScript by `digits_edge.export.targets.preprocessing_constants`.
"""

from collections.abc import Sequence

from digits_edge.runtime.preprocessing.levels import Box

#: Components that overlap by more than this share of the narrower one's width are parts of one digit, for example the
#: bar of a "5", if the gap between them is at most this share of the taller one's height.
MIN_PART_OVERLAP = 0.25
MAX_PART_GAP = 0.5
#: Minimum height of a digit, as a share of the tallest one's. The two parts of an open "4" differ more.
MIN_HEIGHT_SHARE = 0.6
#: Minimum share of its height that a digit has beside the tallest one.
MIN_SIDE_BY_SIDE = 0.6
#: Minimum height of a digit, as a multiple of the mean width of the strokes; the dots of a dotted pen have 2.
MIN_HEIGHT_TO_STROKE = 2.5


def separate_digits(parts: Sequence[Box], stroke: float) -> list[Box]:
    """Find digits side by side among the components of ink.

    Args:
        parts: Boxes of the components of comparable weight: left, upper, right, lower.
        stroke: Mean width of the strokes, in pixels.

    Returns:
        Boxes of the digits from left to right if there are two or more; otherwise none.

    Example:
        >>> four_and_seven_with_a_bar = [(0, 0, 10, 20), (15, 0, 25, 3), (17, 5, 25, 20)]
        >>> separate_digits(four_and_seven_with_a_bar, stroke=3)
        [(0, 0, 10, 20), (15, 0, 25, 20)]
        >>> separate_digits(four_and_seven_with_a_bar[1:], stroke=3)
        []
    """
    found = _joined(parts)
    if not found:
        return []
    tallest = max(found, key=_height)
    digits = sorted(
        box
        for box in found
        if _height(box) >= max(MIN_HEIGHT_SHARE * _height(tallest), MIN_HEIGHT_TO_STROKE * stroke)
        and min(box[3], tallest[3]) - max(box[1], tallest[1]) >= MIN_SIDE_BY_SIDE * _height(box)
    )
    return digits if len(digits) > 1 else []


def _joined(parts: Sequence[Box]) -> list[Box]:
    """The boxes of the digits: parts one above the other are joined."""
    found: list[Box] = []
    for part in parts:
        box = part
        while overlapping := next((other for other in found if _is_one_digit(box, other)), None):
            found.remove(overlapping)
            box = (
                min(box[0], overlapping[0]),
                min(box[1], overlapping[1]),
                max(box[2], overlapping[2]),
                max(box[3], overlapping[3]),
            )
        found.append(box)
    return found


def _is_one_digit(one: Box, other: Box) -> bool:
    overlap = min(one[2], other[2]) - max(one[0], other[0])
    gap = max(one[1], other[1]) - min(one[3], other[3])
    is_above = overlap > MIN_PART_OVERLAP * min(one[2] - one[0], other[2] - other[0])
    return is_above and gap <= MAX_PART_GAP * max(_height(one), _height(other))


def _height(box: Box) -> int:
    return box[3] - box[1]
