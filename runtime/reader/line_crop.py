"""Crops of lines: `line_crop` cuts a line out and levels it, `LineCrop.in_picture` converts boxes back."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from digits_edge.runtime.preprocessing.levels import Box
from digits_edge.runtime.reader.lines import FoundLine

#: Margins of the crop of a line, as shares of its height.
MARGIN_ACROSS, MARGIN_ALONG = 0.15, 0.38


@dataclass(frozen=True)
class LineCrop:
    """A line that was cut out of a picture.

    Attributes:
        picture: the line, horizontal.
        left: left edge in the picture, in pixels.
        upper: upper edge in the picture at half of the width.
        slope: how many pixels of the picture the line falls for each pixel to the right.
    """

    picture: Image.Image
    left: float
    upper: float
    slope: float

    def in_picture(self, box: tuple[float, float, float, float], size: tuple[int, int]) -> Box:
        """The bounding box in the picture of a box in the crop.

        Args:
            box: left, upper, right, lower in pixels of the crop.
            size: width and height of the picture.

        Example:
            >>> LineCrop(Image.new("L", (100, 20)), 50, 10, 0.1).in_picture((0, 0, 10, 20), (200, 100))
            (50, 5, 60, 26)
        """
        left, upper, right, lower = box
        fall = [self.slope * (x - self.picture.width / 2) for x in (left, right)]
        found = (
            int(np.floor(self.left + left)),
            int(np.floor(self.upper + upper + min(fall))),
            int(np.ceil(self.left + right)),
            int(np.ceil(self.upper + lower + max(fall))),
        )
        x0, y0 = (min(max(side, 0), limit - 1) for side, limit in zip(found[:2], size, strict=True))
        return x0, y0, min(max(found[2], x0 + 1), size[0]), min(max(found[3], y0 + 1), size[1])


def line_crop(picture: Image.Image, line: FoundLine) -> LineCrop:
    """Cut a line out of a picture, with a margin, and shear it until it is horizontal.

    Args:
        picture: Image as `open_picture` returns it.
        line: a line of this picture.

    Example:
        >>> page = Image.new("L", (400, 300), "white")
        >>> crop = line_crop(page, FoundLine((100, 50, 200, 90)))
        >>> crop.picture.size, crop.left, crop.upper
        ((132, 52), 84, 44)
    """
    left, upper, right, lower = line.box
    if line.box == (0, 0, *picture.size):
        return LineCrop(picture, 0, 0, 0.0)
    height = max(1.0, lower - upper - abs(line.slope) * (right - left))
    across, along = MARGIN_ACROSS * height, MARGIN_ALONG * height
    x0, x1 = max(0, int(left - along)), min(picture.width, int(np.ceil(right + along)))
    middle = (upper + lower) / 2
    if not line.slope:
        y0, y1 = max(0, int(upper - across)), min(picture.height, int(np.ceil(lower + across)))
        return LineCrop(picture.crop((x0, y0, x1, y1)), x0, y0, 0.0)
    top, rows = middle - height / 2 - across, round(height + 2 * across)
    centre = (left + right) / 2
    # the row of the picture for a pixel (x, y) of the crop is y + top + slope · (x + x0 - centre)
    shear = (1, 0, x0, line.slope, 1, top + line.slope * (x0 - centre))
    paper = tuple(
        np.median(np.asarray(picture.crop(line.box)).reshape(-1, len(picture.getbands())), axis=0).astype(int)
    )
    sheared = picture.transform(
        (x1 - x0, rows), Image.Transform.AFFINE, shear, Image.Resampling.BILINEAR, fillcolor=tuple(map(int, paper))
    )
    return LineCrop(sheared, x0, top + line.slope * (x0 + (x1 - x0) / 2 - centre), line.slope)
