"""The digit's ink in a picture: `find_ink`.

Its steps are functions on small arrays, in this order: `reduced`, `flattened`, `grey`, `light_ink`,
`without_background`, `cleaned`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits_edge.runtime.preprocessing.morphology import (
    GRID,
    Array,
    Mask,
    T,
    blurred,
    boxes,
    on_grid,
    opened,
    otsu,
    percentile,
    pieces,
    running,
)

Box = tuple[int, int, int, int]

#: Longer side of the reduction on which everything is decided; 128 and 200 read no better.
WORK_SIDE = 160
#: Ink weaker than this, of 255, or than this many times the paper's own grain, is no ink. The faintest of 274 real
#: pictures has 31; blank pages, of noise up to 25, stay below 1.6 times their grain or 8 of 255.
MIN_CONTRAST = 12
MIN_CONTRAST_TO_NOISE = 2.5
#: In pixels. Where the middle of a pixel lies exactly on the edge of what a new pixel covers, the last bit decides, and
#: that differs between x86 and ARM. A region that begins this much later has no such pixels: with new sides of at most
#: 160 pixels, everything else is at least 1/320 pixel away from an edge.
_OFF_TIES = 2.0**-9
#: Added to the covariance of the colours, so that of a flat picture the mix is luminance.
_FLAT = 2.0**-6
#: The smallest digit, as a share of the picture's longer side and in pixels; less on an empty page is dust.
MIN_SHARE = 0.04
MIN_PIXELS = 3


@dataclass(frozen=True)
class Ink:
    """The ink of a digit, and the steps to it: float32 (H, W) in 0…255, a region reduced to `WORK_SIDE`.

    Attributes:
        levels: the picture in grey, the ink lighter than its ground.
        raised: how much lighter than the paper around it.
        digit: of that, what belongs to the digit; 0 elsewhere.
        cut: the digit cut to its box; empty where nothing stands out like ink.
        box: left, upper, right, lower of the digit in the picture's own pixels; None where nothing stands out.
    """

    levels: Array
    raised: Array
    digit: Array
    cut: Array
    box: Box | None


def find_ink(picture: Image.Image, region: Box) -> Ink:
    """The ink of the one digit in a region of a picture.

    Args:
        picture: as `open_picture` returns it.
        region: left, upper, right, lower in pixels, the last two exclusive.
    """
    levels = light_ink(grey(flattened(reduced(picture, region))))
    sheet = _sheet(levels)
    if sheet is not None:
        region = _in_picture(sheet, region, levels.shape)
        levels = light_ink(grey(flattened(reduced(picture, region))))
    raised = without_background(levels)
    digit = cleaned(raised, _grain(levels))
    solid = digit > 0.15 * digit.max()
    if not solid.any():
        return Ink(levels, raised, digit, digit[:0, :0], box=None)
    left, upper, right, lower = box = _bounds(solid)
    return Ink(levels, raised, digit, digit[upper:lower, left:right], _in_picture(box, region, digit.shape))


def without_idle_alpha(picture: Image.Image) -> Image.Image:
    """The picture without alpha where nothing of it is transparent: reducing with alpha takes five times as long."""
    if picture.mode not in ("LA", "RGBA") or np.asarray(picture.getchannel("A")).min() < 255:  # quicker than getextrema
        return picture
    return picture.convert("L" if picture.mode == "LA" else "RGB")


def reduced(picture: Image.Image, region: Box) -> NDArray[np.uint8]:
    """A region of the picture, RGB or RGBA, (H, W, 3 or 4), its longer side at most `WORK_SIDE`."""
    left, upper, right, lower = region
    scale = min(1.0, WORK_SIDE / max(right - left, lower - upper))
    return resized(picture, region, (max(1, round((right - left) * scale)), max(1, round((lower - upper) * scale))))


def resized(picture: Image.Image, region: Box, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A region of the picture, RGB or RGBA, (H, W, 3 or 4), brought to a size (width, height); pixels are about means.

    Large ones are first reduced by a whole number, to three times the size or more: twice as fast as exact means.
    """
    if picture.mode == "LA":
        picture = picture.convert("RGBA")
    left, upper, right, lower = region
    aside = 0.0 if size == (right - left, lower - upper) else _OFF_TIES
    small = picture.resize(
        size, Image.Resampling.BOX, box=(left + aside, upper + aside, right, lower), reducing_gap=3.0
    )
    return np.asarray(small if small.mode == "RGBA" else small.convert("RGB"))


def flattened(pixels: NDArray[np.uint8]) -> Array:
    """The picture on an opaque ground, float32 (H, W, 3).

    Where most is transparent, the rest is the ink and the ground its contrast, black or white. Where most is opaque,
    the paper came with the picture, and its colour goes under the transparent parts.
    """
    colours = pixels[:, :, :3].astype(np.float32)
    if pixels.shape[2] == 3:
        return colours
    alpha = pixels[:, :, 3:].astype(np.float32) / 255
    opaque = colours[alpha[:, :, 0] > 0.5]
    if 2 * len(opaque) > alpha.size:
        ground = percentile(opaque, 50)
    else:
        inked = on_grid(colours * alpha).sum(dtype=np.float64)
        brightness = inked / max(3 * int(pixels[:, :, 3].sum(dtype=np.int64)) / 255, 1e-6)
        ground = np.full(3, 0.0 if brightness > 127 else 255.0)
    return on_grid(colours * alpha + ground * (1 - alpha))


def grey(colours: Array) -> Array:
    """The mix of the three channels in which the ink stands out most, float32 (H, W) in 0…255.

    The mix is the main axis of the colours' local differences: luminance for grey pictures, and what tells red ink from
    green paper where luminance does not.
    """
    coarse = colours[::2, ::2]
    local = _quarters(coarse - blurred(coarse, max(coarse.shape) // 8)).reshape(-1, 3)
    weights = _weights(np.linalg.eigh(local.T @ local + _FLAT)[1][:, -1])
    return on_grid(colours.astype(np.float64) @ weights - 255 * np.minimum(weights, 0).sum())


def _quarters(differences: Array) -> NDArray[np.float64]:
    """Differences of levels in whole quarters: sums of their products are exact in float64."""
    return np.asarray(np.rint(differences * np.float32(4)), np.float64)


def _weights(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """An axis, (3,), as weights on the grid whose sizes sum to 1 and which sum to no less than 0."""
    steps = np.rint(axis * (GRID / np.abs(axis).sum()))
    heaviest = int(np.abs(steps).argmax())
    steps[heaviest] += np.sign(steps[heaviest]) * (GRID - np.abs(steps).sum())
    # of two channels that cancel out, the heavier or first one counts as light
    lightens = steps.sum() > 0 or (steps.sum() == 0 and steps[heaviest] > 0)
    return np.asarray((steps if lightens else -steps) / GRID)


def light_ink(levels: Array) -> Array:
    """The same picture with the ink lighter than its ground: inverted if the ground is light.

    An even border is ground, and the threshold says whether it is light. Where the light falls unevenly the threshold
    parts lit from shaded paper instead; then ink is what differs from its surroundings in few pixels but strongly.
    """
    if _border_is_even(levels):
        ground_is_light = float(np.mean(_border(levels) > otsu(levels))) > 0.5
    else:
        local = _quarters(levels - blurred(levels, max(levels.shape) // 8))
        ground_is_light = float((local * local * local).sum()) < 0  # skewed
    return 255 - levels if ground_is_light else levels


def without_background(levels: Array) -> Array:
    """How much lighter each pixel is than the paper around it: uneven light and shadows are gone.

    The paper is what an opening leaves: a stroke is narrower than a third of the picture, a shadow is not.
    """
    width = max(levels.shape) // 3 | 1
    return np.asarray(np.maximum(levels - opened(blurred(levels, 1), width, width), 0))


def cleaned(ink: Array, grain: float) -> Array:
    """Only what belongs to the digit, float32 (H, W): 0 elsewhere, all 0 if there is no digit.

    The digit is the heaviest piece of ink and what lies close to it, not specks, ruled lines or the table's edge.

    Args:
        ink: float32, (H, W), as `without_background` returns it.
        grain: how much neighbouring pixels of the paper differ, in levels.
    """
    smooth = blurred(ink, max(ink.shape) // 100)
    threshold = otsu(smooth)
    # Half the threshold for the rules: a slanting thin line fades in and out between two rows of pixels.
    mask = (smooth > 0.7 * threshold) & ~_rules(smooth > 0.3 * threshold)
    numbered, count = pieces(mask)
    if count == 0:
        return np.zeros_like(ink)
    weights = np.bincount(numbered.ravel(), (smooth * _centredness(ink)).ravel())[1:]
    kept = _digit_pieces(boxes(numbered, count), weights, np.bincount(_border(numbered), minlength=count + 1)[1:])
    digit = np.append(False, kept)[numbered]
    if not _stands_out(smooth, digit, mask, grain):
        return np.zeros_like(ink)
    return np.where(running(np.maximum, digit, 3, 3), ink, 0)


def _sheet(levels: Array) -> Box | None:
    """The box of a sheet of paper on a darker table, or of a card: a solid, wide piece where ink would be expected."""
    if not _border_is_even(levels):
        return None
    light = levels > otsu(levels)
    numbered, count = pieces(light)
    if count == 0:
        return None
    largest = int(np.bincount(numbered.ravel())[1:].argmax())
    left, upper, right, lower = (int(side) for side in boxes(numbered, count)[largest])
    width, height = right - left, lower - upper
    # A bold "8" fills 70 % of its box, a sheet turned by ten degrees 75 %; the paper within a "0" is the sheet's too.
    if min(width, height) < 0.4 * max(levels.shape) or light[upper:lower, left:right].mean() < 0.75:
        return None
    inset = max(width, height) // 30
    return left + inset, upper + inset, right - inset, lower - inset


def _border(array: NDArray[T]) -> NDArray[T]:
    return np.concatenate([array[0], array[-1], array[:, 0], array[:, -1]])


def _border_is_even(levels: Array) -> bool:
    """Whether the border varies little beside the picture's contrast: no gradient, no half shadow."""
    light = levels > otsu(levels)
    if not light.any() or light.all():
        return True
    contrast = _mean(levels[light]) - _mean(levels[~light])
    lower, upper = (float(percentile(_border(levels), percent)) for percent in (25, 75))
    return upper - lower < 0.25 * contrast


def _mean(levels: Array) -> float:
    """The mean of levels on the grid: their sum is exact in float64."""
    return float(levels.mean(dtype=np.float64))


def _grain(levels: Array) -> float:
    """The standard deviation of the paper's noise, from the median difference of neighbours: strokes do not count."""
    return 1.05 * float(percentile(np.abs(np.diff(levels, axis=1)).ravel(), 50)) if levels.shape[1] > 1 else 0.0


def _rules(mask: Mask) -> Mask:
    """The pixels of ruled lines, along and across, that a mask holds."""
    return _rules_along(mask) | _rules_along(mask.T).T


def _rules_along(mask: Mask) -> Mask:
    """The pixels of thin, nearly horizontal lines, if they reach from edge to edge and well beyond everything else.

    A bar of a 7 that was cut out tightly reaches from edge to edge too, but the rest of the 7 is as wide.
    """
    width = mask.shape[1]
    tolerance, stroke = 5, max(mask.shape) // 25 | 1
    lines = opened(running(np.maximum, mask, tolerance, 1), 1, int(0.45 * width) | 1)
    rules = mask & lines & ~opened(mask, stroke, 1)
    rest = (mask & ~rules).any(0)
    across = rules.any(0).mean() > 0.9 and rest.any() and np.ptp(np.flatnonzero(rest)) < 0.8 * width
    return rules if across else np.zeros_like(mask)


def _centredness(ink: Array) -> Array:
    """1, falling to 0 over the outermost tenth: where tables, shadows and spirals are."""
    rows, columns = (np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) / (0.1 * n) for n in ink.shape)
    return np.asarray(np.minimum(1, np.minimum.outer(rows, columns)), np.float32)


def _digit_pieces(piece_boxes: NDArray[np.intp], weights: NDArray[Any], border_pixels: NDArray[np.intp]) -> Mask:
    """Which of the pieces are the digit: the heaviest, and step by step what lies close to those taken.

    Args:
        piece_boxes: int, (P, 4), left, upper, right, lower.
        weights: float64, (P,), ink by centredness.
        border_pixels: int, (P,), how many of a piece's pixels lie on the picture's border.

    Returns:
        bool, (P,).
    """
    left, upper, right, lower = piece_boxes.T
    along_border = border_pixels > 0.6 * np.maximum(right - left, lower - upper)
    taken: Mask = np.arange(len(weights)) == np.argmax(np.where(along_border, 0.05 * weights, weights))
    touches = border_pixels > 0
    # What touches the border belongs to the digit only if the digit does: then the picture was cut tightly.
    possible = (weights > 0.02 * weights[taken]) & ~along_border & (touches <= touches[taken])
    while True:
        x0, y0 = piece_boxes[taken, :2].min(0)
        x1, y1 = piece_boxes[taken, 2:].max(0)
        gap = np.maximum.reduce([left - x1, x0 - right, upper - y1, y0 - lower])
        encloses = (left < x0) & (upper < y0) & (right > x1) & (lower > y1)  # a frame drawn around the digit
        more = taken | (possible & ~encloses & (gap <= 0.2 * max(x1 - x0, y1 - y0)))
        if np.array_equal(more, taken):
            return taken
        taken, possible = more, possible & ~encloses


def _stands_out(ink: Array, digit: Mask, mask: Mask, grain: float) -> bool:
    """Whether the digit is more than the paper's grain, and more than a speck."""
    left, upper, right, lower = _bounds(digit)
    paper = ink[~mask]
    contrast = _mean(ink[digit]) - (_mean(paper) if paper.size else 0.0)
    large = max(right - left, lower - upper) > max(MIN_PIXELS, MIN_SHARE * max(ink.shape))
    return large and contrast > max(MIN_CONTRAST, MIN_CONTRAST_TO_NOISE * grain)


def _bounds(mask: Mask) -> Box:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _in_picture(box: Box, region: Box, shape: tuple[int, ...]) -> Box:
    """A box of the reduction of a region, in the picture's own pixels."""
    x_scale, y_scale = (region[2] - region[0]) / shape[1], (region[3] - region[1]) / shape[0]
    left, upper = region[0] + int(box[0] * x_scale), region[1] + int(box[1] * y_scale)
    right, lower = region[0] + int(np.ceil(box[2] * x_scale)), region[1] + int(np.ceil(box[3] * y_scale))
    return left, upper, min(right, region[2]), min(lower, region[3])
