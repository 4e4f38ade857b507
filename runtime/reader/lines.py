"""Search of the written lines of a picture: `find_lines`.

Lines are chains of connected components of similar height.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits_edge.runtime.preprocessing.levels import Box, border, grey, resized
from digits_edge.runtime.preprocessing.morphology import Mask, boxes, pieces
from digits_edge.runtime.preprocessing.polarity import light_ink
from digits_edge.runtime.preprocessing.transparency import flattened, without_idle_alpha
from digits_edge.runtime.reader.page_ink import ink_mask

#: Longer side of the reduced picture in which lines are searched: digits of 1/60 of a page have ten pixels.
SEARCH_SIDE = 640
#: Pictures whose shorter side is shorter, in pixels, are one line: the cut-out field of a form, or a digit.
MIN_PAGE_SIDE = 96

# --- components ------------------------------------------------------------------------------------------------------

#: Minimum height of a digit, in pixels and as a share of the longer side.
MIN_HEIGHT, MIN_HEIGHT_SHARE = 6, 1 / 90
#: Minimum share of its longer side that a component has on the border of the picture to be the edge of something.
BORDER_SHARE = 0.5
#: Components that are wider than this many heights are rules, and those that are higher than this many widths edges.
MAX_ASPECT, MAX_UPRIGHT_ASPECT = 8.0, 14.0
#: Components with fewer pixels are dust, and rules with fewer pixels may be parts of characters.
MIN_PIXELS, MIN_RULE_PIXELS = 2, 20
#: Frames fill less than this share of their box, and have a component of this share of their height inside.
MAX_FRAME_FILL, MIN_FRAMED = 0.25, 0.3

# --- chains of components --------------------------------------------------------------------------------------------

#: Maximum distance of two digits of a line, as a multiple of the larger height, and maximum ratio of their heights.
MAX_GAP, MAX_HEIGHT_RATIO = 3.2, 2.6
#: Maximum vertical distance of their centres, as a share of the larger height.
MAX_SHIFT = 0.5
#: A chain is split at gaps that are larger than this many heights of its digits, and than this many of its median gaps.
SPLIT_HEIGHTS, SPLIT_GAPS = 2.0, 3.0
#: Components that are higher than this many digits, and than this many of their widths, are sides of a box.
SIDE_HEIGHT, SIDE_ASPECT = 1.4, 8.0
#: Components within this share of the line's height from its box belong to it: separators and parts of digits.
NEAR_SHARE = 0.35
#: A chain is part of another one if this share of its box is that near.
MIN_INSIDE = 0.7
#: Lines that are lower than this share of the highest line of the page are specks.
MIN_LINE_SHARE = 0.2
#: A line is the whole picture if its height is at least this share of it, and the picture is at least so many times as
#: wide as high: the cut-out field of a form.
FIELD_SHARE, FIELD_ASPECT = 0.45, 1.5
#: Lines with a smaller slope are level, in pixels per pixel; larger slopes are not believed.
MIN_SLOPE, MAX_SLOPE = 0.02, 0.4
#: Maximum number of lines; the heaviest are returned.
MAX_LINES = 300


@dataclass(frozen=True)
class FoundLine:
    """A line of writing.

    Attributes:
        box: left, upper, right, lower of its ink in pixels of the picture.
        slope: how many pixels it falls for each pixel to the right.
        parts: number of connected components of the size of digits.
    """

    box: Box
    slope: float = 0.0
    parts: int = 1


def find_lines(picture: Image.Image, region: Box | None = None) -> list[FoundLine]:
    """Find the lines of writing.

    Args:
        picture: Image as `open_picture` returns it.
        region: the part of the picture to search; None for all of it.

    Returns:
        The lines from top to bottom; a picture or region of fewer than `MIN_PAGE_SIDE` pixels is one line. Empty if
        there is no ink.

    Example:
        >>> page = Image.new("L", (400, 300), "white")
        >>> for left in (100, 140, 180):
        ...     page.paste(0, (left, 50, left + 8, 90))
        >>> page.paste(0, (120, 200, 130, 250))
        >>> [(line.box, line.parts) for line in find_lines(page)]
        [((100, 50, 188, 90), 3), ((120, 200, 130, 250), 1)]
    """
    picture = without_idle_alpha(picture)
    region = region or (0, 0, *picture.size)
    left, upper, right, lower = region
    if min(right - left, lower - upper) < MIN_PAGE_SIDE:
        return [FoundLine(region)]
    scale = min(1.0, SEARCH_SIDE / max(right - left, lower - upper))
    size = max(1, round((right - left) * scale)), max(1, round((lower - upper) * scale))
    levels = light_ink(grey(flattened(resized(picture, region, size))))
    lines = _chained(_components(ink_mask(levels)), levels.shape)
    is_field = any(_height(line.box) >= FIELD_SHARE * size[1] and not _is_printed_box(line) for line in lines)
    if is_field and size[0] >= FIELD_ASPECT * size[1]:
        return [FoundLine(region, parts=max(line.parts for line in lines))]
    return [_in_picture(line, region, levels.shape) for line in lines]


def _components(mask: Mask) -> NDArray[np.intp]:
    """The boxes of the components of a mask that may be parts of characters, int (P, 4)."""
    numbered, count = pieces(mask)
    if not count:
        return np.zeros((0, 4), np.intp)
    found = boxes(numbered, count)
    left, upper, right, lower = found.T
    width, height = right - left, lower - upper
    area = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
    on_border = np.bincount(border(numbered), minlength=count + 1)[1:]
    is_edge = on_border > BORDER_SHARE * np.maximum(width, height)
    is_rule = (width > MAX_ASPECT * height) | (height > MAX_UPRIGHT_ASPECT * width)
    is_frame = area < MAX_FRAME_FILL * width * height
    for one in np.flatnonzero(is_frame).tolist():
        inside = (left > left[one]) & (right < right[one]) & (upper > upper[one]) & (lower < lower[one])
        is_frame[one] = bool((inside & (height >= max(MIN_HEIGHT, MIN_FRAMED * height[one]))).any())
    kept: NDArray[np.intp] = found[~is_edge & ~is_frame & ~(is_rule & (area > MIN_RULE_PIXELS)) & (area > MIN_PIXELS)]
    return kept


def _chained(parts: NDArray[np.intp], shape: tuple[int, ...]) -> list[FoundLine]:
    """The lines that components form, in pixels of the mask, from top to bottom."""
    heights = parts[:, 3] - parts[:, 1]
    is_digit = heights >= max(MIN_HEIGHT, MIN_HEIGHT_SHARE * max(shape))
    digits, small = parts[is_digit], parts[~is_digit]
    chains = [part for chain in _chains(digits) for part in _split(_without_sides(digits[chain]))]
    chains = _merged(chains)
    if not chains:
        return []
    highest = max(int(np.median(chain[:, 3] - chain[:, 1])) for chain in chains)
    chains = [chain for chain in chains if np.median(chain[:, 3] - chain[:, 1]) >= MIN_LINE_SHARE * highest]
    chains.sort(key=lambda chain: -int(((chain[:, 2] - chain[:, 0]) * (chain[:, 3] - chain[:, 1])).sum()))
    lines = [_line(chain, small) for chain in chains[:MAX_LINES]]
    return _in_reading_order(lines)


def _in_reading_order(lines: Iterable[FoundLine]) -> list[FoundLine]:
    """Rows from top to bottom, and the lines of each from left to right.

    A line is in the row of another one if its middle is between the upper and the lower edge of the row's first line.
    """
    rows: list[list[FoundLine]] = []
    for line in sorted(lines, key=lambda line: (line.box[1] + line.box[3], line.box[0])):
        if rows and (line.box[1] + line.box[3]) / 2 < rows[-1][0].box[3]:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line.box[0])]


def _chains(digits: NDArray[np.intp]) -> list[list[int]]:
    """Groups of components beside each other, as indices."""
    left, upper, right, lower = digits.T.astype(np.float64) if len(digits) else np.zeros((4, 0))
    height, middle = lower - upper, (upper + lower) / 2
    parent = list(range(len(digits)))

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = one = parent[parent[one]]
        return one

    for one in range(len(digits)):
        taller, lower_one = np.maximum(height, height[one]), np.minimum(height, height[one])
        gap = np.maximum(left - right[one], left[one] - right)
        near = (gap <= MAX_GAP * taller) & (np.abs(middle - middle[one]) <= MAX_SHIFT * taller)
        near &= taller <= MAX_HEIGHT_RATIO * lower_one
        for other in np.flatnonzero(near).tolist():
            parent[root(other)] = root(one)
    groups: dict[int, list[int]] = {}
    for one in range(len(digits)):
        groups.setdefault(root(one), []).append(one)
    return list(groups.values())


def _without_sides(chain: NDArray[np.intp]) -> NDArray[np.intp]:
    """A chain without thin components that are higher than digits: the sides of a box around them."""
    widths, heights = chain[:, 2] - chain[:, 0], chain[:, 3] - chain[:, 1]
    is_side = (heights > SIDE_HEIGHT * np.median(heights)) & (heights > SIDE_ASPECT * widths)
    kept: NDArray[np.intp] = chain[~is_side]
    return kept


def _split(chain: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """The numbers of a chain: those that are much further apart than the digits of each."""
    chain = chain[np.argsort(chain[:, 0], kind="stable")]
    gaps = chain[1:, 0] - np.maximum.accumulate(chain[:, 2])[:-1]
    if len(gaps) < 2:
        return [chain]
    height = float(np.median(chain[:, 3] - chain[:, 1]))
    limit = max(SPLIT_HEIGHTS * height, SPLIT_GAPS * max(0.0, float(np.median(gaps))))
    return np.split(chain, np.flatnonzero(gaps > limit) + 1)


def _merged(chains: list[NDArray[np.intp]]) -> list[NDArray[np.intp]]:
    """Chains, with those that are mostly inside the box of another one joined to it: parts of digits."""
    chains = sorted(chains, key=lambda chain: -_area(_bounds(chain)))
    kept: list[NDArray[np.intp]] = []
    for chain in chains:
        box = _bounds(chain)
        for place, other in enumerate(kept):
            around = _bounds(other)
            near = NEAR_SHARE * (around[3] - around[1])
            outer = (around[0] - near, around[1] - near, around[2] + near, around[3] + near)
            if _overlap(box, outer) > MIN_INSIDE * _area(box):
                kept[place] = np.concatenate([other, chain])
                break
        else:
            kept.append(chain)
    return kept


def _line(chain: NDArray[np.intp], small: NDArray[np.intp]) -> FoundLine:
    """The line of a chain, with the small components near it."""
    left, upper, right, lower = _bounds(chain)
    slope = _slope(chain)
    near = NEAR_SHARE * (lower - upper)
    inside = (
        (small[:, 0] >= left - near)
        & (small[:, 2] <= right + 2 * near)
        & (small[:, 1] >= upper - near)
        & (small[:, 3] <= lower + near)
    )
    left, upper, right, lower = _bounds(np.concatenate([chain, small[inside]]))
    return FoundLine((left, upper, right, lower), slope, len(chain))


def _slope(chain: NDArray[np.intp]) -> float:
    """The slope of the line through the middles of at least three digits."""
    if len(chain) < 3:
        return 0.0
    x, y = (chain[:, 0] + chain[:, 2]) / 2, (chain[:, 1] + chain[:, 3]) / 2
    x = x - x.mean()
    spread = float(x @ x)
    slope = float(x @ (y - y.mean())) / spread if spread else 0.0
    return slope if MIN_SLOPE <= abs(slope) <= MAX_SLOPE else 0.0


def _is_printed_box(line: FoundLine) -> bool:
    """Whether a line may be the tinted box of a form around a number: one component, much wider than a digit."""
    return line.parts == 1 and line.box[2] - line.box[0] >= FIELD_ASPECT * _height(line.box)


def _height(box: Box) -> int:
    return box[3] - box[1]


def _bounds(parts: NDArray[np.intp]) -> Box:
    left, upper = parts[:, :2].min(0).tolist()
    right, lower = parts[:, 2:].max(0).tolist()
    return left, upper, right, lower


def _area(box: Iterable[float]) -> float:
    left, upper, right, lower = box
    return max(0.0, right - left) * max(0.0, lower - upper)


def _overlap(one: Iterable[float], other: Iterable[float]) -> float:
    (a, b, c, d), (e, f, g, h) = one, other
    return _area((max(a, e), max(b, f), min(c, g), min(d, h)))


def _in_picture(line: FoundLine, region: Box, shape: tuple[int, ...]) -> FoundLine:
    x_scale, y_scale = (region[2] - region[0]) / shape[1], (region[3] - region[1]) / shape[0]
    left, upper, right, lower = line.box
    box = (
        region[0] + int(left * x_scale),
        region[1] + int(upper * y_scale),
        min(region[0] + int(np.ceil(right * x_scale)), region[2]),
        min(region[1] + int(np.ceil(lower * y_scale)), region[3]),
    )
    return FoundLine(box, line.slope * y_scale / x_scale, line.parts)
