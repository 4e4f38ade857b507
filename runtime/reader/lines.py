"""Search of the written lines of a picture: `find_lines`, and `line_crop`, which cuts one out upright.

Ink is what differs from the paper around it in thin strokes. The width of the strokes is measured first, so that the
paper can be estimated in windows that are wider than strokes and narrower than shadows, tables and dark objects.
Lines are chains of connected components of similar height.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits_edge.runtime.preprocessing.components import noise_of
from digits_edge.runtime.preprocessing.levels import Box, border, grey, resized
from digits_edge.runtime.preprocessing.morphology import (
    MEDIAN,
    Array,
    Mask,
    blurred,
    boxes,
    opened,
    otsu,
    percentile,
    pieces,
    running,
)
from digits_edge.runtime.preprocessing.polarity import light_ink
from digits_edge.runtime.preprocessing.transparency import flattened, without_idle_alpha

#: Longer side of the reduced picture in which lines are searched: digits of 1/60 of a page have ten pixels.
SEARCH_SIDE = 640
#: Pictures whose shorter side is shorter, in pixels, are one line: the cut-out field of a form, or a digit.
MIN_PAGE_SIDE = 96

# --- ink -------------------------------------------------------------------------------------------------------------

#: The first window of the paper is the longer side divided by this.
PAPER_SIDE_DIVISOR = 3
#: The second one is the median width of strokes times the first number, and at least the longer side divided by the
#: second.
PAPER_STROKES, MIN_PAPER_DIVISOR = 8, 24
#: Threshold of ink: as a share of Otsu's, of 255, and as a multiple of the paper's noise.
INK_THRESHOLD, MIN_CONTRAST, MIN_CONTRAST_TO_NOISE = 0.6, 12.0, 3.0
#: Levels above this percentile of the ink do not count for Otsu's threshold: edges of dark objects are far lighter.
INK_PERCENTILE = 90

# --- components ------------------------------------------------------------------------------------------------------

#: Minimum height of a digit, in pixels and as a share of the longer side.
MIN_HEIGHT, MIN_HEIGHT_SHARE = 6, 1 / 90
#: Minimum share of its longer side that a component has on the border of the picture to be the edge of something.
BORDER_SHARE = 0.5
#: Components that are wider than this many heights are rules, and those that are higher than this many widths edges.
MAX_ASPECT, MAX_UPRIGHT_ASPECT = 8.0, 14.0
#: Frames fill less than the first share of their box, which is wider and higher than the second share of the page, and
#: have other components inside.
MAX_FRAME_FILL, MIN_FRAME_SHARE = 0.1, 0.4

# --- ruled lines -----------------------------------------------------------------------------------------------------

#: Minimum length of a ruled line, and its maximum thickness, as shares of the longer side.
RULE_LENGTH, RULE_THICKNESS = 0.2, 1 / 90
#: Slopes of ruled lines, in pixels per pixel.
RULE_SLOPES = (0.0, -0.02, 0.02, -0.04, 0.04, -0.06, 0.06)
#: Number of parallel lines that no digit has; fewer are rules only if they are longer than everything else, by this.
MANY_RULES, BEYOND_RULES = 3, 1.25
#: Side in pixels of the closing that joins strokes across a removed line.
RULE_CLOSING = 9

# --- chains of components ----------------------------------------------------------------------------------------------

#: Maximum distance of two digits of a line, as a multiple of the larger height, and maximum ratio of their heights.
MAX_GAP, MAX_HEIGHT_RATIO = 3.2, 2.6
#: Maximum vertical distance of their centres, as a share of the larger height.
MAX_SHIFT = 0.5
#: Components within this share of the line's height from its box belong to it: separators and parts of digits.
NEAR_SHARE = 0.35
#: Lines that are lower than this share of the highest line of the page are specks.
MIN_LINE_SHARE = 0.2
#: A line is the whole picture if its height is at least this share of it, and the picture is at least so many times as
#: wide as high: the cut-out field of a form.
FIELD_SHARE, FIELD_ASPECT = 0.45, 1.5
#: Maximum number of lines; the heaviest are returned.
MAX_LINES = 60

# --- crops -------------------------------------------------------------------------------------------------------------

#: Margins of the crop of a line, as shares of its height.
MARGIN_ACROSS, MARGIN_ALONG = 0.15, 0.3
#: Lines with a smaller slope are not sheared, in pixels per pixel; larger slopes are not believed.
MIN_SLOPE, MAX_SLOPE = 0.02, 0.4


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
    if size[0] >= FIELD_ASPECT * size[1] and any(_height(line.box) >= FIELD_SHARE * size[1] for line in lines):
        return [FoundLine(region, parts=max(line.parts for line in lines))]
    return [_in_picture(line, region, levels.shape) for line in lines]


def ink_mask(levels: Array) -> Mask:
    """Where the ink is.

    Args:
        levels: float32, (H, W) in 0…255, the ink lighter than the paper.

    Returns:
        bool, (H, W).

    Example:
        >>> levels = np.zeros((100, 100), np.float32)
        >>> levels[:, :40] = 120  # a table
        >>> levels[30:60, 70:73] = 100
        >>> mask = ink_mask(levels)
        >>> int(mask.sum()), bool(mask[40, 71])
        (90, True)
    """
    longer = max(levels.shape)
    raised = _raised(levels, longer // PAPER_SIDE_DIVISOR)
    stroke = _stroke(raised > _threshold(raised))
    window = max(longer // MIN_PAPER_DIVISOR, PAPER_STROKES * stroke)
    if window < longer // PAPER_SIDE_DIVISOR:
        raised = _raised(levels, window)
    return without_rules(np.asarray(raised > _threshold(raised)))


def without_rules(mask: Mask) -> Mask:
    """Remove ruled lines; strokes that cross them are joined again.

    Args:
        mask: bool, (H, W).

    Example:
        >>> mask = np.zeros((200, 300), np.bool_)
        >>> mask[20::30] = True
        >>> mask[40:90, 100:104] = True
        >>> cleared = without_rules(mask)
        >>> bool(cleared[50, 102]), bool(cleared[50, 50]), bool(cleared[20, 102])
        (True, False, False)
    """
    across, down = _rules(mask), _rules(mask.T).T
    if not (across.any() or down.any()):
        return mask
    cleared = mask & ~across & ~down
    closed = _closed(cleared) & across | _closed(cleared.T).T & down
    return np.asarray(cleared | closed & mask)


def _rules(mask: Mask) -> Mask:
    """The nearly horizontal ruled lines, all with the slope that finds the most pixels."""
    length, thickness = (int(share * max(mask.shape)) | 1 for share in (RULE_LENGTH, RULE_THICKNESS))
    thin = mask & ~opened(mask, 2 * thickness + 1, 1)
    if np.count_nonzero(thin.any(axis=0)) < length:
        return np.zeros_like(mask)
    height, width = mask.shape
    best, rows = np.zeros_like(mask), np.arange(height)[:, np.newaxis]
    thin = running(np.maximum, thin, 3, 1)
    columns = np.arange(width)
    for slope in RULE_SLOPES:
        shift = np.rint(slope * (columns - width / 2)).astype(np.intp)
        sheared = thin[np.clip(rows + shift, 0, height - 1), columns]
        found = opened(np.pad(sheared, ((0, 0), (1, 1))), 1, length)[:, 1:-1]
        if np.count_nonzero(found) > np.count_nonzero(best):
            best = found[np.clip(rows - shift, 0, height - 1), columns]
    return best if _is_ruled(best, mask & ~best) else np.zeros_like(mask)


def _is_ruled(rules: Mask, rest: Mask) -> bool:
    """Whether long straight lines are ruled: they are many, or reach beyond everything else."""
    numbered, count = pieces(rules)
    if not count:
        return False
    columns = np.flatnonzero(rest.any(axis=0))
    if not len(columns) or count >= MANY_RULES:
        return True
    found = boxes(numbered, count)
    return bool((found[:, 2] - found[:, 0]).max() > BEYOND_RULES * (columns[-1] - columns[0]))


def _closed(mask: Mask) -> Mask:
    """A morphological closing along columns."""
    return running(np.minimum, running(np.maximum, mask, RULE_CLOSING, 1), RULE_CLOSING, 1)


def _raised(levels: Array, window: int) -> Array:
    """How much lighter each pixel is than the paper around it."""
    return np.asarray(np.maximum(levels - opened(blurred(levels, 1), window | 1, window | 1), 0))


def _threshold(raised: Array) -> float:
    """The level from which a pixel is ink."""
    middle = float(percentile(raised.ravel(), MEDIAN))
    strong = raised[raised > otsu(raised)]
    if not strong.size:
        return float("inf")
    bounded = np.minimum(raised, np.float32(percentile(strong, INK_PERCENTILE)))
    return max(
        middle + INK_THRESHOLD * (otsu(bounded) - middle),
        middle + MIN_CONTRAST,
        middle + MIN_CONTRAST_TO_NOISE * noise_of(raised),
    )


def _stroke(mask: Mask) -> int:
    """The median width of strokes along rows and columns, in pixels; each stroke counts as often as it is crossed."""
    lengths = [_runs(each) for each in (mask, mask.T)]
    return min((int(percentile(each, MEDIAN)) for each in lengths if each.size), default=1)


def _runs(mask: Mask) -> NDArray[np.intp]:
    """Lengths of the runs of true pixels along rows."""
    sides = np.diff(mask.astype(np.int8), axis=1, prepend=np.int8(0), append=np.int8(0))
    starts, ends = (np.flatnonzero(sides == side) for side in (1, -1))
    return ends - starts


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
    is_frame = (area < MAX_FRAME_FILL * width * height) & (
        (width > MIN_FRAME_SHARE * mask.shape[1]) & (height > MIN_FRAME_SHARE * mask.shape[0])
    )
    for one in np.flatnonzero(is_frame).tolist():
        inside = (left > left[one]) & (right < right[one]) & (upper > upper[one]) & (lower < lower[one])
        is_frame[one] = bool((inside & (height >= MIN_HEIGHT)).any())
    return found[~is_edge & ~is_frame & ~(is_rule & (area > 20)) & (area > 2)]


def _chained(parts: NDArray[np.intp], shape: tuple[int, ...]) -> list[FoundLine]:
    """The lines that components form, in pixels of the mask, from top to bottom."""
    heights = parts[:, 3] - parts[:, 1]
    is_digit = heights >= max(MIN_HEIGHT, MIN_HEIGHT_SHARE * max(shape))
    digits, small = parts[is_digit], parts[~is_digit]
    chains = [digits[chain] for chain in _chains(digits)]
    chains = _merged(chains)
    if not chains:
        return []
    highest = max(int(np.median(chain[:, 3] - chain[:, 1])) for chain in chains)
    chains = [chain for chain in chains if np.median(chain[:, 3] - chain[:, 1]) >= MIN_LINE_SHARE * highest]
    chains.sort(key=lambda chain: -int(((chain[:, 2] - chain[:, 0]) * (chain[:, 3] - chain[:, 1])).sum()))
    lines = [_line(chain, small) for chain in chains[:MAX_LINES]]
    return sorted(lines, key=lambda line: (line.box[1] + line.box[3], line.box[0]))


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
            if _overlap(box, outer) > 0.7 * _area(box):
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
