"""From a user's picture to the form MNIST's images have: `canonical`.

The steps are functions on small arrays, in the order of the file: `reduced`, `flattened`, `grey`, `light_ink`,
`without_background`, `cleaned`, then `framed`, which makes the 28×28 image. The picture is looked at twice: as a whole,
to find the ink, and again close up if the ink is a small part of it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]

#: Longer side, in pixels, of the reduction on which everything is decided.
WORK_SIDE = 160
IMAGE_SIDE = 28
INK_SIDE = 20


@dataclass(frozen=True)
class Canonical:
    """A picture in the form of MNIST's images.

    Attributes:
        image: uint8, (28, 28), white ink on black; all zero if the picture is blank.
        blank: no ink was found.
        box: left, upper, right, lower of the ink in the picture's own pixels; None if blank.
    """

    image: NDArray[np.uint8]
    blank: bool
    box: Box | None


def canonical(picture: Image.Image) -> Canonical:
    """Bring a picture of one digit to the MNIST form.

    Args:
        picture: mode L, LA, RGB or RGBA, any size, as `open_picture` returns it: dark ink on light or light on dark,
            of any colour, lit evenly or not.

    Returns:
        The image, or a blank one if nothing on the picture stands out like ink.
    """
    region: Box = (0, 0, *picture.size)
    ink, box = _ink_in(picture, region)
    if box is not None and _is_small(box, region):
        region = _with_margin(box, picture.size)
        ink, box = _ink_in(picture, region)
    if box is None:
        return Canonical(np.zeros((IMAGE_SIDE, IMAGE_SIDE), np.uint8), blank=True, box=None)
    return Canonical(framed(ink), blank=False, box=box)


def reduced(picture: Image.Image, region: Box) -> NDArray[np.uint8]:
    """A region of the picture, (H, W, 3 or 4) RGB or RGBA, its longer side at most `WORK_SIDE`."""
    left, upper, right, lower = region
    scale = min(1.0, WORK_SIDE / max(right - left, lower - upper))
    size = (max(1, round((right - left) * scale)), max(1, round((lower - upper) * scale)))
    if picture.mode in ("LA", "RGBA"):
        if picture.getchannel("A").crop(region).getextrema() == (255, 255):
            picture = picture.convert("RGB")
        else:
            picture = picture.convert("RGBA")
    small = picture.resize(size, Image.Resampling.BOX, box=region)
    return np.asarray(small if small.mode == "RGBA" else small.convert("RGB"))


def flattened(pixels: NDArray[np.uint8]) -> Array:
    """The picture on an opaque ground, float32 (H, W, 3).

    Where most is transparent, what is not is the ink and the ground is its contrast, black or white. Where most is
    opaque, the paper came with the picture and its colour goes on under the rest.
    """
    colours = pixels[:, :, :3].astype(np.float32)
    if pixels.shape[2] == 3:
        return colours
    alpha = pixels[:, :, 3:].astype(np.float32) / 255
    opaque = colours[alpha[:, :, 0] > 0.5]
    if len(opaque) > alpha[:, :, 0].size / 2:
        ground = np.median(opaque, axis=0)
    else:
        brightness = (colours * alpha).sum() / (3 * max(float(alpha.sum()), 1.0))
        ground = np.zeros(3) if brightness > 127.5 else np.full(3, 255.0)
    return colours * alpha + ground.astype(np.float32) * (1 - alpha)


def grey(colours: Array) -> Array:
    """The mix of the three channels in which the ink stands out most, float32 (H, W) in 0…255.

    The mix is the main axis of the colours' local differences: luminance for grey pictures, and what tells red ink from
    green paper where luminance does not.
    """
    size = max(colours.shape[:2])
    local = colours - _box_blur(colours, size // 8)
    covariance = np.einsum("hwi,hwj->ij", local, local)
    axis = np.linalg.eigh(covariance + 1e-3)[1][:, -1]
    axis = axis / np.abs(axis).sum() * (1 if axis.sum() >= 0 else -1)
    mixed = colours @ axis.astype(np.float32)
    return mixed - min(0.0, float(255 * axis[axis < 0].sum()))


def light_ink(levels: Array) -> Array:
    """The same picture with the ink lighter than its ground: inverted if the ground is light.

    An even border is ground, and whether it is light the threshold says. Where light falls unevenly, the threshold
    parts light from shadow instead; then ink is what differs from its surroundings in few pixels but strongly.
    """
    if _border_is_even(levels):
        ground_is_light = np.mean(_border(levels) > _otsu(levels)) > 0.5
    else:
        local = levels - _box_blur(levels, max(levels.shape) // 8)
        ground_is_light = float((local**3).mean()) < 0
    return 255 - levels if ground_is_light else levels

def _border(levels):
    return np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]])

def _border_is_even(levels):
    threshold = _otsu(levels)
    contrast = levels[levels > threshold].mean() - levels[levels <= threshold].mean()
    return bool(np.subtract(*np.percentile(_border(levels), [75, 25])) < EVEN * contrast)

EVEN = .25

def _sheet(levels: Array) -> Box | None:
    """The box"""
    if not _border_is_even(levels):
        return None
    pieces, count = _pieces(levels > _otsu(levels))
    if count == 0:
        return None
    largest = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    upper, lower, left, right = _bounds(largest)
    height, width = lower - upper, right - left
    if min(height, width) < SHEET * max(levels.shape) or largest.sum() < FILL * height * width:
        return None
    inset = max(height, width) // 30
    return left + inset, upper + inset, right - inset, lower - inset

FILL = 0.75
SHEET=.4

def without_background(levels: Array) -> Array:
    """How much each pixel is lighter than the paper around it: uneven light and shadows taken away.

    The paper is the opening of the picture: what remains of it when everything narrower than a third of the picture
    (a stroke is) has been taken away.
    """
    width = max(levels.shape) // 3 | 1
    paper = _running(np.maximum, _running(np.minimum, _box_blur(levels, 1), width), width)
    return np.maximum(levels - paper, 0)


def cleaned(ink: Array, noise: float) -> Array:
    """Only what belongs to the digit: float32 (H, W), 0 where there is no ink; all 0 if there is none at all.

    Ink is what passes the threshold and hangs together with, or lies close to, the heaviest piece of it. Specks, the
    edge of the paper and ruled lines are not.
    """
    smooth = _box_blur(ink, max(ink.shape) // 100)
    threshold = _otsu(smooth)
    mask = (smooth > MASK * threshold) & ~_rules(smooth > RLOW * threshold)
    pieces, count = _pieces(mask)
    if count == 0:
        return np.zeros_like(ink)
    weights = np.bincount(pieces.ravel(), (smooth * _centredness(ink.shape)).ravel())[1:]
    along = _along_border(pieces, count)
    main = int(np.argmax(np.where(along, ALONG * weights, weights))) + 1
    if not _stands_out(noise, smooth, pieces == main, mask):
        return np.zeros_like(ink)
    touching = np.isin(np.arange(1,count+1), _border(pieces))
    kept = np.zeros(count + 1, bool)
    kept[main]=True
    box = _bounds(pieces==main)
    boxes = {i: _bounds(pieces==i) for i in np.flatnonzero((weights > SPECK * weights[main - 1])&~along&(touching<=touching[main-1])) + 1 if i != main}
    changed=True
    while changed:
        changed=False
        for i,b in list(boxes.items()):
            contains = b[0]<box[0] and b[1]>box[1] and b[2]<box[2] and b[3]>box[3]
            gap = max(b[0]-box[1], box[0]-b[1], b[2]-box[3], box[2]-b[3], 0)
            if not contains and gap <= NEAR*max(box[1]-box[0],box[3]-box[2]):
                kept[i]=changed=True; del boxes[i]
                box=(min(b[0],box[0]),max(b[1],box[1]),min(b[2],box[2]),max(b[3],box[3]))
    return np.where(_running(np.maximum, kept[pieces], 3), ink, 0)

MASK=.7
RLOW=.3
SPECK=.02
NEAR=.25

def framed(ink: Array) -> NDArray[np.uint8]:
    """The ink as MNIST frames it: uint8 (28, 28), longer side 20, centred by mass.

    Args:
        ink: float32 (H, W), cut to its box, at least one value above 0.
    """
    ink = thickened(ink)
    small = _resized(ink, INK_SIDE)
    small = np.clip(small / max(np.percentile(small[small > 0], FULL), 0.5*small.max()), 0, 1)
    return _centred(small)

TIGHT = 0.15
FULL = 80
MIN_T = 2.2
MAX_T = 9.
Z = 4

def thickened(ink: Array) -> Array:
    """hi"""
    level = np.percentile(ink[ink > 0], 75)
    ink = np.clip(ink / level, 0, 1)
    scale = INK_SIDE / max(ink.shape)
    thickness = _thickness(ink) * scale
    if MIN_T < thickness < MAX_T:
        return ink
    large = _resized(ink, Z*INK_SIDE)
    if thickness >= MAX_T:
        radius = round((thickness - MAX_T) * Z / 2)
        return _running(np.minimum, np.pad(large, radius), 2*radius+1)
    radius = round((MIN_T - thickness) * Z / 2)
    large = np.pad(large, radius)
    for step in range(radius):
        large = _running(np.maximum, large, 3) if step % 2 else _cross(large)
    return large

def _cross(a):
    p = np.pad(a, 1)
    return np.maximum.reduce([a, p[2:, 1:-1], p[:-2, 1:-1], p[1:-1, 2:], p[1:-1, :-2]])

def _thickness(ink: Array) -> float:
    p = np.pad(ink, 1)
    return 8 / np.pi * float(p.sum() / (np.abs(np.diff(p, axis=0)).sum() + np.abs(np.diff(p, axis=1)).sum()))

def _resized(a, side):
    scale = side / max(a.shape)
    size = (max(1, round(a.shape[1] * scale)), max(1, round(a.shape[0] * scale)))
    return np.asarray(Image.fromarray(a).resize(size, Image.Resampling.BILINEAR))

def _ink_in(picture: Image.Image, region: Box) -> tuple[Array, Box | None]:
    levels = light_ink(grey(flattened(reduced(picture, region))))
    sheet = _sheet(levels)
    if sheet is not None:
        region = _in_picture(sheet, region, levels.shape)
        levels = light_ink(grey(flattened(reduced(picture, region))))
    ink = cleaned(without_background(levels), _noise(levels))
    solid = ink > TIGHT * ink.max()
    if not solid.any():
        return ink, None
    upper, lower, left, right = _bounds(solid)
    return ink[upper:lower, left:right], _in_picture((left, upper, right, lower), region, ink.shape)


def _in_picture(box: Box, region: Box, shape: tuple[int, ...]) -> Box:
    """A box of the reduction, in the picture's own pixels."""
    x_scale, y_scale = (region[2] - region[0]) / shape[1], (region[3] - region[1]) / shape[0]
    return (
        region[0] + int(box[0] * x_scale),
        region[1] + int(box[1] * y_scale),
        region[0] + int(np.ceil(box[2] * x_scale)),
        region[1] + int(np.ceil(box[3] * y_scale)),
    )


def _centred(small: Array) -> NDArray[np.uint8]:
    height, width = small.shape
    total = small.sum()
    x = float((small.sum(0) @ (np.arange(width) + 0.5)) / total)
    y = float((small.sum(1) @ (np.arange(height) + 0.5)) / total)
    left = int(np.clip(np.ceil(IMAGE_SIDE / 2 - x), 0, IMAGE_SIDE - width))
    upper = int(np.clip(np.ceil(IMAGE_SIDE / 2 - y), 0, IMAGE_SIDE - height))
    image = np.zeros((IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    image[upper : upper + height, left : left + width] = np.rint(small * 255)
    return image


def _box_blur(array: Array, radius: int) -> Array:
    """Mean over a square of 2·radius + 1 pixels on the first two axes, edges repeated."""
    for axis in (0, 1):
        if radius < 1:
            break
        padding = [(0, 0)] * array.ndim
        padding[axis] = (radius + 1, radius)
        sums = np.cumsum(np.pad(array, padding, mode="edge"), axis=axis, dtype=np.float64)
        length = array.shape[axis]
        width = 2 * radius + 1
        upper = np.take(sums, np.arange(width, width + length), axis=axis)
        lower = np.take(sums, np.arange(length), axis=axis)
        array = ((upper - lower) / width).astype(np.float32)
    return array


def _running(extreme: np.ufunc, array: Array, width: int) -> Array:
    """Running maximum or minimum over a square of `width` pixels (odd), edges repeated, in log2(width) steps."""
    for axis in (0, 1):
        padding = [(0, 0)] * 2
        padding[axis] = (width // 2, width // 2)
        padded = np.moveaxis(np.pad(array, padding, mode="edge"), axis, 0)
        covered = 1
        while covered < width:
            step = min(covered, width - covered)
            padded = extreme(padded[:-step], padded[step:])
            covered += step
        array = np.moveaxis(padded, 0, axis)
    return array


def _otsu(levels: Array) -> float:
    """The level that parts the histogram in two with the least variance within the parts (Otsu 1979)."""
    low, high = float(levels.min()), float(levels.max())
    counts, edges = np.histogram(levels, bins=64, range=(low, max(high, low + 1e-3)))
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    sums = np.cumsum(counts * centres)
    above = below[-1] - below
    between = (sums[-1] * below - sums * below[-1]) ** 2 / np.maximum(below * above, 1)
    return float(edges[1 + int(np.argmax(between[:-1]))])


def _is_small(box: Box, region: Box) -> bool:
    """Whether the ink takes so little of the region that looking closer shows more of it."""
    return max(box[2] - box[0], box[3] - box[1]) < 0.5 * max(region[2], region[3])


def _with_margin(box: Box, size: tuple[int, int]) -> Box:
    margin = max(box[2] - box[0], box[3] - box[1]) // 2
    return (
        max(0, box[0] - margin),
        max(0, box[1] - margin),
        min(size[0], box[2] + margin),
        min(size[1], box[3] + margin),
    )


def _centredness(shape: tuple[int, ...]) -> Array:
    """1 in the middle, falling to 0 over the outermost tenth: where desks, shadows and notebook spirals are."""
    rows, columns = (np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) / (0.1 * n) for n in shape)
    return np.minimum(1, np.minimum.outer(rows, columns)).astype(np.float32)


ALONG = 0.05
def _along_border(pieces, count):
    on_border = np.bincount(_border(pieces), minlength=count + 1)[1:]
    extents = np.array([_extent(pieces == i) if n else 1 for i, n in enumerate(on_border, 1)])
    return on_border > 0.6 * extents

def _extent(mask):
    b = _bounds(mask)
    return max(b[1] - b[0], b[3] - b[2])

def _stands_out(noise: float, ink: Array, main: Mask, mask: Mask) -> bool:
    height, width = _bounds(main)[1] - _bounds(main)[0], _bounds(main)[3] - _bounds(main)[2]
    rest = ink[~mask]
    contrast = float(ink[main].mean()) - float(rest.mean()) if rest.size else 0.0
    stats.append((contrast, noise, max(height, width) / max(ink.shape), main.sum()/mask.sum()))
    return contrast > max(12, 2.5*noise) and max(height,width)>.04*max(main.shape)
stats=[]

def _rules(mask: Mask) -> Mask:
    """The pixels of ruled lines."""
    rules = np.zeros_like(mask)
    for m, r in ((mask, rules), (mask.T, rules.T)):
        found = _rules_across(m)
        rest = m & ~found
        if found.any() and found.any(0).mean() > 0.9 and rest.any() and np.ptp(np.flatnonzero(rest.any(0))) < .8*m.shape[1]:
            r |= found
    return rules

RL=.45
RD=5
def _rules_across(mask):
    length, tall = int(RL * mask.shape[1]) | 1, max(mask.shape) // 25 | 1
    line = _opened(_run(np.maximum, mask, RD, 0), length, 1)
    return mask & line & ~_opened(mask, tall, 0)

def _run(extreme, array, width, axis):
    padding = [(0, 0)] * 2
    padding[axis] = (width // 2, width // 2)
    padded = np.moveaxis(np.pad(array, padding, mode="edge"), axis, 0)
    covered = 1
    while covered < width:
        step = min(covered, width - covered)
        padded = extreme(padded[:-step], padded[step:])
        covered += step
    return np.moveaxis(padded, 0, axis)

def _opened(mask, width, axis):
    return _run(np.maximum, _run(np.minimum, mask, width, axis), width, axis)

def _noise(levels: Array) -> float:
    return 1.05 * float(np.median(np.abs(np.diff(levels, axis=1))))


def _bounds(mask: Mask) -> tuple[int, int, int, int]:
    """First row, last row + 1, first column, last column + 1."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _grown(bounds: tuple[int, int, int, int], share: float) -> tuple[float, float, float, float]:
    margin = share * max(bounds[1] - bounds[0], bounds[3] - bounds[2])
    return bounds[0] - margin, bounds[1] + margin, bounds[2] - margin, bounds[3] + margin


def _inside(bounds: tuple[float, ...], frame: tuple[float, ...]) -> bool:
    return bounds[0] >= frame[0] and bounds[1] <= frame[1] and bounds[2] >= frame[2] and bounds[3] <= frame[3]


def _pieces(mask: Mask) -> tuple[NDArray[np.intp], int]:
    """Number the 8-connected pieces of a mask: 0 outside, then 1 to the count returned with it."""
    index = np.full(mask.shape, -1)
    size = int(mask.sum())
    index[mask] = np.arange(size)
    pairs = [
        (index[:, :-1], index[:, 1:]),
        (index[:-1], index[1:]),
        (index[:-1, :-1], index[1:, 1:]),
        (index[:-1, 1:], index[1:, :-1]),
    ]
    ends = [(a[(a >= 0) & (b >= 0)], b[(a >= 0) & (b >= 0)]) for a, b in pairs]
    first, second = (np.concatenate(side) for side in zip(*ends, strict=True))
    parent = np.arange(size)
    while True:
        one, other = parent[first], parent[second]
        if np.array_equal(one, other):
            break
        np.minimum.at(parent, np.maximum(one, other), np.minimum(one, other))
        while not np.array_equal(parent, parent[parent]):
            parent = parent[parent]
    roots, numbers = np.unique(parent, return_inverse=True)
    pieces = np.zeros(mask.shape, np.intp)
    pieces[mask] = numbers + 1
    return pieces, len(roots)
