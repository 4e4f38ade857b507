"""Digits that are small on a large page: `find_small_digits`.

In the reduced picture they are a few pixels of faint ink, like dust. A close-up of each shows whether it is drawn with
strokes. The numeric constants are exported to JavaScript by `digits_edge.export.targets.preprocessing_constants`.
"""

import numpy as np
from PIL import Image

from digits_edge.runtime.preprocessing.components import stroke_width
from digits_edge.runtime.preprocessing.ink import Ink, find_ink
from digits_edge.runtime.preprocessing.levels import Box
from digits_edge.runtime.preprocessing.morphology import Mask, blurred, boxes, pieces, running

#: Minimum contrast of a small digit in the reduced picture, of 255 and as a multiple of the paper's noise.
MIN_SMALL_CONTRAST = 8
MIN_SMALL_CONTRAST_TO_NOISE = 4
#: Radius of the box filter before this threshold, and side of the dilation that joins the parts of a digit, in pixels.
SMALL_BLUR_RADIUS = 1
SMALL_DILATION = 3
#: Maximum number of close-ups; the heaviest spots come first.
MAX_CLOSE_UPS = 12
#: Margin of a close-up around a spot, in pixels of the reduced picture.
SPOT_MARGIN = 4
#: Minimum longer side of a small digit, in pixels of the picture, and as a share of the largest one's.
MIN_SMALL_PIXELS = 12
MIN_SMALL_SHARE = 0.5
#: Level that counts as ink in the close-up, as a share of the highest one.
SMALL_INK_SHARE = 0.5
#: Maximum width of the strokes, as a share of the longer side. Round or square dust has 0.5, bold digits have 0.25.
MAX_STROKE_SHARE = 0.3
#: Minimum share of the close-up's ink that belongs to the digit; the rest is texture.
MIN_COHERENCE = 0.5


def find_small_digits(picture: Image.Image, page: Ink) -> list[Ink]:
    """Find small digits in a picture in which `find_ink` found none.

    Args:
        picture: Image as `open_picture` returns it.
        page: Result of `find_ink` for the complete picture.

    Returns:
        Close-ups of the digits, the largest first; the others in the order of their weight. Empty if there are none.

    Example:
        >>> page = Image.new("L", (2000, 2000), "white")
        >>> page.paste(0, (1500, 700, 1506, 750))  # a "1"
        >>> page.paste(0, (300, 300, 310, 310))  # dust
        >>> [ink.box for ink in find_small_digits(page, find_ink(page, (0, 0, 2000, 2000)))]
        [(1500, 700, 1507, 750)]
    """
    found: list[Ink] = []
    for spot in _spots(page):
        close_up = find_ink(picture, _around(page.in_picture(spot), page, picture.size))
        if close_up.box is not None and _is_digit(close_up) and not any(_overlap(close_up.box, each) for each in found):
            found.append(close_up)
    if not found:
        return []
    largest = max(found, key=_size)
    others = [ink for ink in found if ink is not largest and _size(ink) >= MIN_SMALL_SHARE * _size(largest)]
    return [largest, *others]


def _spots(page: Ink) -> list[Box]:
    """The boxes of the heaviest spots of ink in the reduced picture."""
    smooth = blurred(page.raised, SMALL_BLUR_RADIUS)
    mask: Mask = np.asarray(smooth > max(MIN_SMALL_CONTRAST, MIN_SMALL_CONTRAST_TO_NOISE * page.noise))
    numbered, count = pieces(running(np.maximum, mask, SMALL_DILATION, SMALL_DILATION))
    weights = np.bincount(numbered.ravel(), smooth.ravel(), count + 1)[1:]
    spot_boxes = boxes(numbered, count).tolist()
    heaviest: list[Box] = []
    for _ in range(min(count, MAX_CLOSE_UPS)):
        spot = int(weights.argmax())
        weights[spot] = -1
        left, upper, right, lower = spot_boxes[spot]
        heaviest.append((left, upper, right, lower))
    return heaviest


def _around(box: Box, page: Ink, size: tuple[int, int]) -> Box:
    """A box with a margin of `SPOT_MARGIN` reduced pixels, within the picture."""
    margin = -(-SPOT_MARGIN * (page.region[2] - page.region[0]) // page.levels.shape[1])
    left, upper = max(0, box[0] - margin), max(0, box[1] - margin)
    return left, upper, min(size[0], box[2] + margin), min(size[1], box[3] + margin)


def _is_digit(close_up: Ink) -> bool:
    """Whether the ink is large enough, drawn with strokes, and most of the ink in the close-up."""
    if _size(close_up) < MIN_SMALL_PIXELS:
        return False
    inked = close_up.raised > SMALL_INK_SHARE * close_up.digit.max()
    digit = close_up.cut > SMALL_INK_SHARE * close_up.cut.max()
    if np.count_nonzero(digit) < MIN_COHERENCE * np.count_nonzero(inked):
        return False
    return bool(stroke_width(np.asarray(digit)) <= MAX_STROKE_SHARE * max(digit.shape))


def _size(ink: Ink) -> int:
    return 0 if ink.box is None else max(ink.box[2] - ink.box[0], ink.box[3] - ink.box[1])


def _overlap(box: Box, ink: Ink) -> bool:
    other = ink.box
    if other is None:
        return False
    return min(box[2], other[2]) > max(box[0], other[0]) and min(box[3], other[3]) > max(box[1], other[1])
