"""Detection of the ink of a digit in a picture: `find_ink`.

The grey levels come from `levels`, the digit's components from `components`. The numeric constants are exported to
JavaScript by `digits_edge.export.targets.preprocessing_constants`.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from digits_edge.runtime.preprocessing.components import Paper, bounds, cleaned, noise_of
from digits_edge.runtime.preprocessing.crops import as_crop, ground_of
from digits_edge.runtime.preprocessing.levels import Box, border_is_even, grey, reduced
from digits_edge.runtime.preprocessing.morphology import Array, blurred, boxes, opened, otsu, pieces
from digits_edge.runtime.preprocessing.polarity import is_crop, is_tight, light_ink
from digits_edge.runtime.preprocessing.rules import without_rules
from digits_edge.runtime.preprocessing.transparency import flattened, ink_margin

# --- sheets of paper -------------------------------------------------------------------------------------------------

#: Minimum shorter side of a sheet, as a share of the picture's longer side.
MIN_SHEET_SHARE = 0.4
#: Minimum share of a sheet's bounding box that it fills. A bold "8" fills 70 %, a sheet rotated by ten degrees 75 %;
#: the paper inside a "0" belongs to the sheet.
MIN_SHEET_FILL = 0.75
#: The sheet is cropped on each side by its longer side divided by this.
SHEET_INSET_DIVISOR = 30

# --- background --------------------------------------------------------------------------------------------

#: The side of the opening that estimates the paper is the longer side divided by this: wider than strokes, narrower
#: than shadows.
PAPER_SIDE_DIVISOR = 3
#: Radius of the box filter before that opening, in pixels.
PAPER_BLUR_RADIUS = 1
#: Threshold of the pixels that determine the bounding box, as a share of the highest level.
BOX_THRESHOLD = 0.15


@dataclass(frozen=True)
class Ink:
    """The ink of a digit and the intermediate results: float32 (H, W) in 0…255, reduced to `WORK_SIDE`.

    Attributes:
        levels: Grey levels of the picture, the ink lighter than the background.
        raised: Difference of each pixel from the paper around it, without ruled lines.
        digit: `raised` of the digit's pixels; 0 elsewhere.
        cut: The digit cropped to its bounding box; empty if no ink was found.
        box: Left, upper, right, lower of the digit in pixels of the picture; None if no ink was found.
        boxes: Boxes of the digits found, from left to right, in pixels of the picture.
        region: The region of the picture, in pixels.
        margin: Width of the margin around the reduced region.
        noise: Standard deviation of the paper's noise, in levels.
    """

    levels: Array
    raised: Array
    digit: Array
    cut: Array
    box: Box | None
    boxes: tuple[Box, ...]
    region: Box
    margin: int
    noise: float

    def in_picture(self, box: Box) -> Box:
        """A box of the reduced region, in pixels of the picture."""
        return _in_picture(box, self.region, self.levels.shape, self.margin)


def find_ink(picture: Image.Image, region: Box) -> Ink:
    """Find the ink of the one digit in a region of a picture.

    Args:
        picture: Image as `open_picture` returns it.
        region: Left, upper, right, lower in pixels; right and lower are exclusive.

    Returns:
        The ink and its bounding box.

    Example:
        >>> page = Image.new("L", (100, 100), "white")
        >>> page.paste(0, (45, 20, 55, 80))
        >>> find_ink(page, (0, 0, 100, 100)).box
        (45, 20, 55, 80)
    """
    levels, margin, is_tight_page = _levels(picture, region)
    sheet = None if is_crop(levels) else _sheet(levels)
    if sheet is not None:
        region = _in_picture(sheet, region, levels.shape, margin)
        levels, margin, is_tight_page = _levels(picture, region)
    if is_crop(levels):
        levels, raised, paper = _raised_crop(levels, with_margin=margin == 0)
        margin += paper.margin
    else:
        paper = Paper(noise_of(levels))
        raised = without_rules(without_background(levels, ground_of(levels) if is_tight_page else None))
    noise = paper.noise
    found = cleaned(raised, paper)
    digit = found.ink
    solid = digit > BOX_THRESHOLD * digit.max()
    if not solid.any():
        return Ink(levels, raised, digit, digit[:0, :0], None, (), region, margin, noise)
    left, upper, right, lower = box = bounds(solid)
    cut = digit[upper:lower, left:right]
    box, *digits = (_in_picture(each, region, digit.shape, margin) for each in (box, *found.boxes))
    return Ink(levels, raised, digit, cut, box, tuple(digits) or (box,), region, margin, noise)


def without_background(levels: Array, ground: float | None = None) -> Array:
    """Subtract the paper, and with it uneven light and shadows.

    The paper is estimated by an opening: strokes are narrower than a third of the picture, shadows are not.

    Args:
        levels: float32, (H, W), the ink lighter than the paper.
        ground: Level of the paper beyond the edges, if strokes reach them. By default, what is at the edges continues
            beyond them: the table, or a shadow.

    Returns:
        float32, (H, W): how much lighter each pixel is than the paper around it.

    Example:
        >>> levels = np.tile(np.linspace(0, 60, 30, dtype=np.float32), (30, 1))
        >>> levels[10:20, 15] += 100
        >>> raised = without_rules(without_background(levels))
        >>> bool(raised[15, 15] > 90), bool(raised[15, 5] < 5)
        (True, True)
    """
    side = max(levels.shape) // PAPER_SIDE_DIVISOR | 1
    smooth, beyond = blurred(levels, PAPER_BLUR_RADIUS), 0
    if ground is not None:
        beyond = side // 2
        smooth = np.pad(smooth, beyond, constant_values=ground)
    paper = opened(smooth, side, side)
    paper = paper[beyond : beyond + levels.shape[0], beyond : beyond + levels.shape[1]]
    return np.asarray(np.maximum(levels - paper, 0))


def _levels(picture: Image.Image, region: Box) -> tuple[Array, int, bool]:
    """The grey levels of a region, the ink lighter than the paper, and the width of the margin around it, in pixels.

    Also whether it is a page that is a tight crop. Close-ups are not: they have a margin.
    """
    pixels = reduced(picture, region)
    margin = ink_margin(pixels)
    if margin:
        pixels = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)))
    levels = grey(flattened(pixels))
    is_tight_page = region == (0, 0, *picture.size) and not is_crop(levels) and is_tight(levels)
    return light_ink(levels, is_tight_page=is_tight_page), margin, is_tight_page


def _raised_crop(levels: Array, *, with_margin: bool) -> tuple[Array, Array, Paper]:
    """The levels of a crop, with a margin of paper; the difference of each pixel from the paper; and the paper.

    Noise is the median difference of neighbours, which is that of strokes if they cover most of a crop; therefore it is
    not estimated where ink and paper are separable. There the paper has one level, unless it is textured.
    """
    noise = noise_of(levels)
    crop = as_crop(levels, with_margin=with_margin)
    if not crop.is_separable:
        return crop.levels, without_background(crop.levels), Paper(noise, is_crop=True, is_textured=crop.is_textured)
    paper = Paper(0.0, crop.margin, is_crop=True, is_textured=crop.is_textured)
    if crop.is_textured:
        return crop.levels, without_background(crop.levels), paper
    return crop.levels, np.maximum(crop.levels - np.float32(crop.ground), 0), paper


def _sheet(levels: Array) -> Box | None:
    """The box of a sheet of paper on a darker table, or of a card: a solid, wide component instead of ink."""
    light = levels > otsu(levels)
    if not border_is_even(levels, light):
        return None
    numbered, count = pieces(light)
    if count == 0:
        return None
    largest = int(np.bincount(numbered.ravel())[1:].argmax())
    left, upper, right, lower = (int(side) for side in boxes(numbered, count)[largest])
    width, height = right - left, lower - upper
    if min(width, height) < MIN_SHEET_SHARE * max(levels.shape):
        return None
    if light[upper:lower, left:right].mean() < MIN_SHEET_FILL:
        return None
    inset = max(width, height) // SHEET_INSET_DIVISOR
    return left + inset, upper + inset, right - inset, lower - inset


def _in_picture(box: Box, region: Box, shape: tuple[int, ...], margin: int) -> Box:
    """A box of the reduced region with a margin, in pixels of the picture."""
    height, width = shape[0] - 2 * margin, shape[1] - 2 * margin
    x_scale, y_scale = (region[2] - region[0]) / width, (region[3] - region[1]) / height
    left, upper = (min(max(side - margin, 0), end - 1) for side, end in zip(box[:2], (width, height), strict=True))
    right, lower = max(box[2] - margin, left + 1), max(box[3] - margin, upper + 1)
    return (
        region[0] + int(left * x_scale),
        region[1] + int(upper * y_scale),
        min(region[0] + int(np.ceil(right * x_scale)), region[2]),
        min(region[1] + int(np.ceil(lower * y_scale)), region[3]),
    )
