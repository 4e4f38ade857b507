"""Pictures with an alpha channel: `without_idle_alpha`, `ink_margin`, `flattened`.

The opaque part of such a picture is the ink itself, as a signature pad exports it, or paper with ink on it.
The numeric constants are exported to JavaScript by `digits_edge.export.targets.preprocessing_constants`.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits_edge.runtime.preprocessing.morphology import (
    MEDIAN,
    MID_GREY,
    Array,
    Mask,
    on_grid,
    percentile,
    running,
)

#: Pixels with a higher alpha, in 0…1, are opaque.
OPAQUE_ALPHA = 0.5
#: Lower bound of the divisor of the mean brightness of transparent pictures; prevents division by zero.
MIN_TOTAL_ALPHA = 1e-6
#: An opaque square whose side is this share of the picture's longer side is paper. The boldest pens reach 0.35.
MAX_OPAQUE_STROKE = 0.45
#: Opaque parts that fill more than this share of the picture are paper if their colours differ: a narrow card.
MAX_INK_FILL = 0.9
#: Colours differ if more than this share of the opaque pixels is further than this from the median, of 255.
MAX_DIFFERING_SHARE = 0.005
INK_TOLERANCE = 32
#: Opaque ink that fills most of the picture gets a transparent margin of the longer side divided by this, so that the
#: border shows the background.
INK_MARGIN_DIVISOR = 4


def without_idle_alpha(picture: Image.Image) -> Image.Image:
    """Remove the alpha channel if no pixel is transparent: resizing with alpha takes five times as long.

    Args:
        picture: Mode L, LA, RGB or RGBA.

    Returns:
        The picture itself, or a picture without alpha.

    Example:
        >>> without_idle_alpha(Image.new("RGBA", (2, 2), "white")).mode
        'RGB'
    """
    # numpy's minimum is faster than getextrema
    if picture.mode not in ("LA", "RGBA") or np.asarray(picture.getchannel("A")).min() < 255:
        return picture
    return picture.convert("L" if picture.mode == "LA" else "RGB")


def ink_margin(pixels: NDArray[np.uint8]) -> int:
    """Compute the width of the transparent margin that a picture needs, in pixels.

    Args:
        pixels: uint8, (H, W, 3) or (H, W, 4).

    Returns:
        A quarter of the longer side if most of the picture is opaque and this part is ink; otherwise 0.

    Example:
        >>> bar = np.full((40, 12, 4), (0, 0, 0, 255), np.uint8)  # a "1" cropped to its outline
        >>> bar[0, 0, 3] = 0
        >>> ink_margin(bar), ink_margin(bar[:12])
        (10, 0)
    """
    if pixels.shape[2] == 3:
        return 0
    opaque = _opaque(pixels)
    is_cropped_ink = 2 * np.count_nonzero(opaque) > opaque.size and not _is_paper(pixels, opaque)
    return max(opaque.shape) // INK_MARGIN_DIVISOR if is_cropped_ink else 0


def flattened(pixels: NDArray[np.uint8]) -> Array:
    """Composite the picture on an opaque background.

    If the opaque part is ink, the background is black or white, whichever contrasts more. If it is paper, the paper's
    colour fills the transparent parts.

    Args:
        pixels: uint8, (H, W, 3) or (H, W, 4).

    Returns:
        float32, (H, W, 3) in 0…255.

    Example:
        >>> black_dot = np.zeros((3, 3, 4), np.uint8)
        >>> black_dot[1, 1, 3] = 255
        >>> flattened(black_dot)[:, :, 0]
        array([[255., 255., 255.],
               [255.,   0., 255.],
               [255., 255., 255.]], dtype=float32)
    """
    colours = pixels[:, :, :3].astype(np.float32)
    if pixels.shape[2] == 3:
        return colours
    alpha = pixels[:, :, 3:].astype(np.float32) / 255
    opaque = _opaque(pixels)
    if 2 * np.count_nonzero(opaque) > opaque.size and _is_paper(pixels, opaque):
        ground = percentile(colours[opaque], MEDIAN)
    else:
        inked = on_grid(colours * alpha).sum(dtype=np.float64)
        brightness = inked / max(3 * int(pixels[:, :, 3].sum(dtype=np.int64)) / 255, MIN_TOTAL_ALPHA)
        ground = np.full(3, 0.0 if brightness > MID_GREY else 255.0)
    return on_grid(colours * alpha + ground * (1 - alpha))


def _opaque(pixels: NDArray[np.uint8]) -> Mask:
    return np.asarray(pixels[:, :, 3].astype(np.float32) / 255 > OPAQUE_ALPHA)


def _is_paper(pixels: NDArray[np.uint8], opaque: Mask) -> bool:
    """Whether an opaque part that is more than half of the picture is paper: wider than strokes, or a narrow card."""
    side = int(MAX_OPAQUE_STROKE * max(opaque.shape)) | 1
    if running(np.minimum, np.pad(opaque, 1), side, side).any():
        return True
    if np.count_nonzero(opaque) <= MAX_INK_FILL * opaque.size:
        return False
    colours = pixels[opaque][:, :3].astype(np.float32)
    differs = np.abs(colours - percentile(colours, MEDIAN)).max(axis=1) > INK_TOLERANCE
    return int(np.count_nonzero(differs)) > MAX_DIFFERING_SHARE * len(differs)
