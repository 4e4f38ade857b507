"""Labelled pictures of digits by other hands than MNIST's, for `benchmarks.hands` and `benchmarks.robustness`.

They are development data: for measuring and choosing, never for training.
"""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits_edge.runtime.preprocessing.pictures import open_picture

#: The variants of the tight crops are made of every n-th image.
VARIANT_STRIDE = 4
#: Levels of ink in a stored crop, of 255, from which a pixel counts as ink.
INK_LEVEL = 64
#: Side in pixels and number of grey levels of the smallest crops; level from which a pixel of a two-level crop is ink.
SMALL_SIDE, SMALL_LEVELS, TWO_LEVEL_INK = 8, 17, 110
#: Two-level crops are stretched to the complete square, but at most by this factor: a "1" would be a black square.
MAX_STRETCH = 2
#: Factor of the enlarged crops.
ENLARGED = 4
#: Margin of a cheque digit that is not cropped tightly, as a share of the longer side of its box.
CHEQUE_MARGIN = 0.1
FIELD_BOXES = "boxes_digit_x_y_w_h"

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class LabelledPicture:
    """A picture of one digit.

    Attributes:
        data: Name of the data set.
        kind: Kind of picture within the data set.
        name: File, or number of the image.
        label: The digit, 0 to 9.
        picture: Image as `open_picture` returns it.
    """

    data: str
    kind: str
    name: str
    label: int
    picture: Image.Image


def tight_crops(path: Path) -> Iterator[LabelledPicture]:
    """Yield the crops of an .npz with `images`, uint8 (N, 16, 16), light ink on black, and `labels`, and variants.

    The kind `as stored` has all images. Each variant has every `VARIANT_STRIDE`-th one: dark ink on white, enlarged,
    two grey levels stretched to the complete square, and 8×8 pixels with 17 grey levels.
    """
    with np.load(path, allow_pickle=False) as stored:
        images, labels = stored["images"], stored["labels"]
    for kind, (stride, variant) in VARIANTS.items():
        for number in range(0, len(images), stride):
            picture = Image.fromarray(variant(images[number]))
            yield LabelledPicture(path.stem, kind, str(number), int(labels[number]), picture)


def cheque_digits(folder: Path) -> Iterator[LabelledPicture]:
    """Yield the digits of amount fields, cropped to their boxes (kind `tight`) and with a margin (kind `margin`)."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for kind, share in (("tight", 0.0), ("margin", CHEQUE_MARGIN)):
        for row in rows:
            field = open_picture(folder / row["file"])
            for number, (digit, x, y, width, height) in enumerate(json.loads(row[FIELD_BOXES])):
                margin = round(share * max(width, height))
                left, upper = max(0, x - margin), max(0, y - margin)
                box = (left, upper, min(field.width, x + width + margin), min(field.height, y + height + margin))
                yield LabelledPicture(folder.name, kind, f"{row['file']}#{number}", int(digit), field.crop(box))


def photographs(folder: Path) -> Iterator[LabelledPicture]:
    """Yield the pictures of a folder with labels.csv, whose columns are file, label and kind."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            picture = open_picture(folder / row["file"])
            yield LabelledPicture(folder.name, row["kind"], row["file"], int(row["label"]), picture)


def _ink(image: Pixels) -> Image.Image:
    """The image cropped to its ink."""
    rows, columns = (np.flatnonzero((image > INK_LEVEL).any(axis)) for axis in (1, 0))
    return Image.fromarray(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _enlarged(image: Pixels) -> Pixels:
    size = image.shape[1] * ENLARGED, image.shape[0] * ENLARGED
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def _two_level(image: Pixels) -> Pixels:
    ink, (height, width) = _ink(image), image.shape
    size = min(width, MAX_STRETCH * ink.width), min(height, MAX_STRETCH * ink.height)
    stretched = _centred(ink.resize(size, Image.Resampling.BICUBIC), image.shape)
    return np.asarray((stretched > TWO_LEVEL_INK) * np.uint8(255))


def _small(image: Pixels) -> Pixels:
    ink = _ink(image)
    scale = SMALL_SIDE / max(ink.size)
    size = max(1, round(ink.width * scale)), max(1, round(ink.height * scale))
    small = _centred(ink.resize(size, Image.Resampling.BOX), (SMALL_SIDE, SMALL_SIDE))
    return np.asarray(np.rint(small * ((SMALL_LEVELS - 1) / 255)) * (255 / (SMALL_LEVELS - 1)), np.uint8)


def _centred(ink: Image.Image, shape: tuple[int, ...]) -> Pixels:
    image = np.zeros(shape, np.uint8)
    upper, left = (shape[0] - ink.height) // 2, (shape[1] - ink.width) // 2
    image[upper : upper + ink.height, left : left + ink.width] = np.asarray(ink)
    return image


#: Kind → every how many images, and the picture of an image.
VARIANTS: dict[str, tuple[int, Callable[[Pixels], Pixels]]] = {
    "as stored": (1, np.asarray),
    "dark on white": (VARIANT_STRIDE, lambda image: np.asarray(255 - image)),
    "enlarged": (VARIANT_STRIDE, _enlarged),
    "two-level": (VARIANT_STRIDE, _two_level),
    "two-level, dark on white": (VARIANT_STRIDE, lambda image: np.asarray(255 - _two_level(image))),
    "8×8": (VARIANT_STRIDE, _small),
    "8×8, dark on white": (VARIANT_STRIDE, lambda image: np.asarray(255 - _small(image))),
}
