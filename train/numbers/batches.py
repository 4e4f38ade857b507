"""Batches of lines of similar widths, varied for training: `LineBatches`, `OrderedLineBatches`."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits_edge.runtime.datasets.line_set import LineSet
from digits_edge.runtime.reader.line_image import LINE_HEIGHT, MAX_LINE_WIDTH
from digits_edge.train.data.batches import count_batches
from digits_edge.train.models.line_network import COLUMN_PX
from digits_edge.train.numbers.texts import CHARACTERS

#: Widths of batches are multiples of this, so that few shapes occur.
WIDTH_STEP = 8
#: Lines that are sorted by width together, in batches.
_SORTED_BATCHES = 40
#: Largest changes of a line: logarithms of the factors of width and height, shift in rows, slant.
_WIDTH, _HEIGHT, _SHIFT_PX, _SLANT = 0.18, 0.12, 2.0, 0.15
#: Largest standard deviation of noise, of 255, and largest logarithm of the exponent of levels.
_NOISE, _EXPONENT = 16.0, 0.35
#: Largest width of the paper that is added on the left.
_LEFT_PX = 12


class OrderedLineBatches:
    """Batches of lines for validation, sorted by width.

    Args:
        pool: the lines.
        batch_size: lines per batch; the last batch may be smaller.

    Example:
        >>> pool = LineSet.of("two", [np.zeros((32, 20), np.uint8), np.zeros((32, 40), np.uint8)], ["12", ""])
        >>> images, targets = OrderedLineBatches(pool, batch_size=2)[0]
        >>> images.shape, targets.tolist()
        ((2, 32, 40, 1), [[10, 1, 2], [20, 17, 17]])
    """

    def __init__(self, pool: LineSet, *, batch_size: int) -> None:
        self._pool = pool
        self._batch_size = batch_size
        self._longest = max(1, *map(len, pool.texts))
        self._batches = self._grouped()

    def _grouped(self) -> list[NDArray[np.intp]]:
        rows = np.argsort(self._pool.widths, kind="stable")
        return [rows[start : start + self._batch_size] for start in range(0, len(rows), self._batch_size)]

    @property
    def shapes(self) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
        """Shapes of the images and targets of every batch; None for the number of lines and the width."""
        return (None, LINE_HEIGHT, None, 1), (None, 1 + self._longest)

    def __len__(self) -> int:
        """Number of batches per epoch."""
        return count_batches(len(self._pool), self._batch_size)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Images, float32 (B, 32, W, 1) from 0 to 1, and targets, int32 (B, 1 + L)."""
        rows = self._batches[index]
        images = self._images(rows, index)
        texts = [self._pool.texts[row] for row in rows]
        return padded(images), targets([image.shape[1] for image in images], texts, self._longest)

    def _images(self, rows: NDArray[np.intp], index: int) -> list[NDArray[np.uint8]]:
        return [self._pool.image(row) for row in rows]


class LineBatches(OrderedLineBatches):
    """Shuffled and varied batches for training.

    The order of epoch E is drawn from (seed, E), the variation of its batch B from (seed, E, B). Set `epoch` before an
    epoch begins.

    Args:
        pool: the lines.
        batch_size: lines per batch; the last batch may be smaller.
        seed: seed of the training.

    Example:
        >>> pool = LineSet.of("one", [np.zeros((32, 20), np.uint8)], ["12"])
        >>> LineBatches(pool, batch_size=2, seed=0)[0][1].tolist()[0][1:]
        [1, 2]
    """

    def __init__(self, pool: LineSet, *, batch_size: int, seed: int) -> None:
        self._seed, self._epoch = seed, 0
        super().__init__(pool, batch_size=batch_size)

    @property
    def epoch(self) -> int:
        """Epoch whose batches are returned, from 0."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._batches = self._grouped()

    def _grouped(self) -> list[NDArray[np.intp]]:
        rng = np.random.default_rng((self._seed, self._epoch))
        rows, size = rng.permutation(len(self._pool)), self._batch_size
        widths = self._pool.widths
        batches = []
        for start in range(0, len(rows), size * _SORTED_BATCHES):
            part = rows[start : start + size * _SORTED_BATCHES]
            part = part[np.argsort(widths[part], kind="stable")]
            batches += [part[at : at + size] for at in range(0, len(part), size)]
        order = rng.permutation(len(batches))
        return [batches[place] for place in order]

    def _images(self, rows: NDArray[np.intp], index: int) -> list[NDArray[np.uint8]]:
        rng = np.random.default_rng((self._seed, self._epoch, index))
        return [varied(self._pool.image(row), rng) for row in rows]


def varied(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Stretch, shift and slant a line a little, and change contrast and noise.

    Args:
        image: uint8 (32, W).
        rng: source of all randomness.

    Returns:
        uint8 (32, W'), of a similar width.
    """
    stretch, height = np.exp(rng.uniform(-_WIDTH, _WIDTH)), np.exp(rng.uniform(-_HEIGHT, _HEIGHT))
    slant, shift = rng.uniform(-_SLANT, _SLANT), rng.uniform(-_SHIFT_PX, _SHIFT_PX)
    width = int(np.clip(round(image.shape[1] * stretch), 4, MAX_LINE_WIDTH))
    middle = LINE_HEIGHT / 2
    # places in the image from places in the result
    across = (1 / stretch, -slant / height, slant * (middle + shift) / height)
    down = (0.0, 1 / height, middle - (middle + shift) / height)
    changed = Image.fromarray(image).transform(
        (width, LINE_HEIGHT), Image.Transform.AFFINE, (*across, *down), Image.Resampling.BILINEAR
    )
    exponent = np.float32(np.exp(rng.uniform(-_EXPONENT, _EXPONENT)))
    levels = (np.asarray(changed, np.float32) / np.float32(255)) ** exponent * np.float32(255)
    if rng.random() < 0.3:
        levels += rng.standard_normal(levels.shape, np.float32) * np.float32(rng.uniform(0, _NOISE))
    pixels = np.clip(levels, 0, 255).astype(np.uint8)
    return np.pad(pixels, ((0, 0), (int(rng.integers(_LEFT_PX)), 0))) if rng.random() < 0.3 else pixels


def padded(images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Scale lines to 0…1 and fill them with paper on the right, float32 (N, 32, W, 1)."""
    width = -(-max(image.shape[1] for image in images) // WIDTH_STEP) * WIDTH_STEP
    batch = np.zeros((len(images), LINE_HEIGHT, width, 1), np.float32)
    for row, image in enumerate(images):
        batch[row, :, : image.shape[1], 0] = image
    batch /= np.float32(255)
    return batch


def targets(widths: list[int], texts: list[str], longest: int) -> NDArray[np.int32]:
    """Number of columns and characters of lines, int32 (N, 1 + longest), filled with the blank."""
    blank = len(CHARACTERS)
    rows = np.full((len(texts), 1 + longest), blank, np.int32)
    rows[:, 0] = [-(-width // COLUMN_PX) for width in widths]
    for row, text in enumerate(texts):
        rows[row, 1 : 1 + len(text)] = [CHARACTERS.index(character) for character in text]
    return rows
