"""Training images beyond MNIST, made by the project: digits of fonts, of strokes, and of changed images: `hands`."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from digits_edge.runtime.datasets import Dataset, parts
from digits_edge.runtime.datasets.catalogue import DIGITS
from digits_edge.runtime.errors import DataError, UsageError
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.train.data.fonts import FONTS, fetch_fonts
from digits_edge.train.data.hand import Hand
from digits_edge.train.data.hands import Hands
from digits_edge.train.data.handwriting import random_shapes, written
from digits_edge.train.data.national_digits import draw_national_digit
from digits_edge.train.data.outlines import INK_LEVEL, Outlines, outlines_of
from digits_edge.train.data.shape_changes import changed_shapes

#: Images that are made with one generator state; that of block B of a source is seeded with (seed, source, B).
_BLOCK = 500
#: Height of the rendered digits of fonts in pixels.
_FONT_PX = 150
#: The school fonts of different countries share most shapes of digits, so each is used half as often as another font.
_SCHOOL, _SCHOOL_WEIGHT = "playwrite-", 0.5
#: For changed images, which vary by themselves.
_CHANGED_HAND = Hand(turn=0.03, bend_px=0.7, shake_px=0.2, pressure=0.1, joined=0.02, broken=0.02, pale=0.1)

_Block = tuple[NDArray[np.uint8], list[str]]


@dataclass(frozen=True, eq=False)
class MadeDigits:
    """Made images of digits.

    Attributes:
        images: uint8 (N, 28, 28) in MNIST format.
        labels: uint8 (N,), 0 to 9.
        sources: source of each image, such as "font caveat", "strokes 7 crossed" or "changed mnist".
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    sources: tuple[str, ...]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def counts(self) -> dict[str, int]:
        """Number of images of each source, in alphabetical order."""
        return dict(sorted(Counter(self.sources).items()))


def hands(
    seed: int,
    count: int,
    *,
    data: Dataset | None = None,
    fonts: Sequence[Path] | None = None,
    weights: Hands | None = None,
) -> MadeDigits:
    """Make images of digits that MNIST lacks, the ten digits equally often.

    The same arguments give the same images, up to differences of a few grey levels between versions of FreeType and
    between processors.

    Args:
        seed: seed of all randomness.
        count: number of images, N.
        data: training images in MNIST format, some of which are changed; None to change none.
        fonts: font files; None for those of `digits_edge.train.data.fonts`, which are fetched if they are missing.
        weights: weights of the sources; its seed and count are not used. None for the default.

    Raises:
        UsageError: a font cannot be fetched.
        DataError: a font has another checksum or cannot be read, or `data` lacks one of the digits.

    Example:
        >>> made = hands(0, 1000)  # doctest: +SKIP
        >>> made.images.shape, made.labels.tolist().count(7)  # doctest: +SKIP
        ((1000, 28, 28), 100)
    """
    counts = replace(weights or Hands(1), count=count).parts(has_images=data is not None)
    labels = {name: (np.arange(number) % 10).astype(np.uint8) for name, number in counts.items()}
    blocks: list[_Block] = []
    if counts["fonts"]:
        glyphs = _glyphs(tuple(fetch_fonts() if fonts is None else fonts))
        blocks += _blocks(seed, 0, labels["fonts"], glyphs.written)
    blocks += _blocks(seed, 1, labels["strokes"], _strokes)
    if data is not None:
        blocks += _blocks(seed, 2, labels["changed"], _Changed(data).written)
    images = [block for block, _ in blocks] or [np.empty((0, 28, 28), np.uint8)]
    sources = tuple(source for _, block in blocks for source in block)
    return MadeDigits(np.concatenate(images), np.concatenate(list(labels.values())), sources)


def _blocks(
    seed: int, source: int, labels: NDArray[np.uint8], make: Callable[[NDArray[np.uint8], np.random.Generator], _Block]
) -> list[_Block]:
    starts = range(0, len(labels), _BLOCK)
    return [make(labels[start : start + _BLOCK], np.random.default_rng((seed, source, start))) for start in starts]


# --- fonts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Glyphs:
    """Outlines of the digits of fonts; that of digit D of font F has row 10 · F + D."""

    names: tuple[str, ...]
    outlines: Outlines

    def written(self, labels: NDArray[np.uint8], rng: np.random.Generator) -> _Block:
        weights = np.array([_SCHOOL_WEIGHT if name.startswith(_SCHOOL) else 1.0 for name in self.names])
        fonts = np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(len(labels)))
        rows = np.minimum(fonts, len(self.names) - 1) * 10 + labels.astype(np.intp)
        images = written(self.outlines.taken(rows), labels, random_shapes(labels, rng), rng)
        return images, [f"font {self.names[row // 10]}" for row in rows]


@cache
def _glyphs(files: tuple[Path, ...]) -> _Glyphs:
    names = {font.file_name: font.name for font in FONTS}
    drawings = [draw_font_digit(file, digit) for file in files for digit in range(10)]
    return _Glyphs(tuple(names.get(file.name, file.stem) for file in files), outlines_of(drawings))


def draw_font_digit(file: Path, digit: int) -> NDArray[np.uint8]:
    """Render a digit of a font, uint8 (H, W)."""
    try:
        font = ImageFont.truetype(str(file), _FONT_PX)
    except OSError as error:
        raise DataError(f"{file} is not a font that Pillow can read ({error}); delete it and try again") from error
    canvas = Image.new("L", (3 * _FONT_PX, 3 * _FONT_PX))
    ImageDraw.Draw(canvas).text((_FONT_PX, _FONT_PX // 2), str(digit), fill=255, font=font)
    drawing = np.asarray(canvas, np.uint8)
    if drawing.max() <= INK_LEVEL:
        raise DataError(f"{file} has no digit {digit}; remove it")
    return drawing


# --- strokes ---------------------------------------------------------------------------------------------------------


def _strokes(labels: NDArray[np.uint8], rng: np.random.Generator) -> _Block:
    drawn = [draw_national_digit(int(label), rng) for label in labels]
    outlines = outlines_of(drawing for drawing, _ in drawn)
    images = written(outlines, labels, random_shapes(labels, rng), rng)
    return images, [f"strokes {label} {variant}" for label, (_, variant) in zip(labels, drawn, strict=True)]


# --- changed images --------------------------------------------------------------------------------------------------


class _Changed:
    """Images of a data set with other slant, aspect and stroke width."""

    def __init__(self, data: Dataset) -> None:
        assert data.labels is not None
        self._data = data
        has_ink = data.images.max(axis=(1, 2)) > INK_LEVEL
        self._rows_of = [np.flatnonzero((data.labels == digit) & has_ink) for digit in range(10)]
        if missing := [digit for digit, rows in enumerate(self._rows_of) if not len(rows)]:
            raise DataError(f"{data.name} has no image of the digit {missing[0]}; use other data or no made images")

    def written(self, labels: NDArray[np.uint8], rng: np.random.Generator) -> _Block:
        rows = np.array([rng.choice(self._rows_of[int(label)]) for label in labels], np.intp)
        outlines = outlines_of(self._data.images[rows])
        images = written(outlines, labels, changed_shapes(outlines, labels, rng), rng, _CHANGED_HAND)
        return images, [f"changed {self._data.name}"] * len(rows)


# --- training --------------------------------------------------------------------------------------------------------


def describe_hands(settings: Hands) -> dict[str, Any]:
    """Sources of the made images of a training, as `recipe.json` stores them.

    Example:
        >>> describe_hands(Hands(100))["images"]
        {'fonts': 25, 'strokes': 50, 'changed': 25}
    """
    counts = settings.parts(has_images=True)
    fonts = [font.package for font in FONTS] if counts["fonts"] else []
    return {"images": counts, "fonts": fonts, "font_licences": sorted({font.licence for font in FONTS})}


def refuse_hands(dataset: Dataset) -> None:
    """Refuse made images for data that are not digits in MNIST format.

    Raises:
        UsageError: the images are not digits of 28×28, white on black.

    Example:
        >>> images = np.zeros((2, 8, 8, 3), np.uint8)
        >>> dataset = Dataset("pets", images, None, ("cat", "dog"), "CC0-1.0", "", ImageInput(8, 8, 3))
        >>> refuse_hands(dataset)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        digits_edge.runtime.errors.UsageError: pets: images of 8×8×3 and 2 classes; made images are digits ...
    """
    if dataset.image != ImageInput() or dataset.class_names != DIGITS:
        raise UsageError(
            f"{dataset.name}: images of {dataset.image.description} and {len(dataset.class_names)} classes; made "
            "images are digits of 28×28: omit --hands, or set hands to null in the recipe"
        )


def with_hands(dataset: Dataset, rule: str, settings: Hands) -> tuple[Dataset, NDArray[np.intp]]:
    """Append made images to the training part of a data set.

    The validation part stays as it is, and none of its images is changed into a training image.

    Args:
        dataset: labelled images of digits in MNIST format.
        rule: rule of the split, as for `digits_edge.runtime.datasets.parts`.
        settings: number and sources of the made images.

    Returns:
        The data set with the made images at its end and the content hash of the original, and the rows of the training
        part with the made images.

    Raises:
        UsageError: as `hands`.
        DataError: as `hands`.

    Example:
        >>> mixed, rows = with_hands(mnist, "tenth", Hands(40_000))  # doctest: +SKIP
        >>> len(mixed), len(rows)  # doctest: +SKIP
        (100000, 94000)
    """
    assert dataset.labels is not None
    made = _made_for(dataset, rule, settings)
    images, labels = (np.concatenate(pair) for pair in ((dataset.images, made.images), (dataset.labels, made.labels)))
    rows = np.concatenate([parts(dataset.labels, rule).train, np.arange(len(dataset), len(images))])
    return replace(dataset, images=images, labels=labels), rows


@lru_cache(maxsize=1)  # the same for the teachers and the student of a distillation
def calibration_hands(dataset: Dataset, rule: str, settings: Hands) -> MadeDigits:
    """Make images on which the confidence of a model is calibrated: as many as the validation part has.

    They have the weights of the training's made images, other random numbers, and changed images of the validation
    part; without one of the digits in it, no changed images.

    Args:
        dataset: labelled images of digits in MNIST format.
        rule: rule of the split, as for `digits_edge.runtime.datasets.parts`.
        settings: made images of the training.

    Raises:
        UsageError: as `hands`.
        DataError: as `hands`.

    Example:
        >>> len(calibration_hands(mnist, "tenth", Hands(40_000)))  # doctest: +SKIP
        5999
    """
    assert dataset.labels is not None
    rows = parts(dataset.labels, rule).validation
    part = replace(dataset, images=dataset.images[rows], labels=dataset.labels[rows])
    changed = part if len(np.unique(dataset.labels[rows])) == len(DIGITS) else None
    return hands(settings.seed + 1, len(rows), data=changed, weights=settings)


@lru_cache(maxsize=1)
def _made_for(dataset: Dataset, rule: str, settings: Hands) -> MadeDigits:
    assert dataset.labels is not None
    rows = parts(dataset.labels, rule).train
    training = replace(dataset, images=dataset.images[rows], labels=dataset.labels[rows])
    return hands(settings.seed, settings.count, data=training, weights=settings)
