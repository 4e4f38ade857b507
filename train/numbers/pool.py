"""Made lines on disk: `LinePool` is filled block by block, and resumed after an interruption."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import InputError
from digits_edge.runtime.files import atomic_write
from digits_edge.runtime.json_record import read_json
from digits_edge.runtime.reader.line_image import LINE_HEIGHT
from digits_edge.train.numbers.lines import BLOCK, NumberLine, NumberLines

_LINES, _BLOCK_FILE = "lines.json", "block-{:05d}.npz"

#: Called with the number of lines so far and the number of all lines.
LineProgress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class LinePool:
    """Lines in memory.

    Attributes:
        pixels: uint8 (32, sum of all widths), the lines side by side.
        starts: int (N + 1,), first column of each line, and the end of the last one.
        texts: text of each line.

    Example:
        >>> lines = [NumberLine(np.zeros((32, 20), np.uint8), "12"), NumberLine(np.zeros((32, 40), np.uint8), "")]
        >>> pool = LinePool.of(lines)
        >>> len(pool), pool.image(1).shape, pool.widths.tolist()
        (2, (32, 40), [20, 40])
    """

    pixels: NDArray[np.uint8]
    starts: NDArray[np.int64]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, lines: list[NumberLine]) -> Self:
        """The pool of some lines."""
        images = [line.image for line in lines]
        pixels = np.concatenate(images, axis=1) if images else np.zeros((LINE_HEIGHT, 0), np.uint8)
        starts = np.concatenate([[0], np.cumsum([image.shape[1] for image in images])]).astype(np.int64)
        return cls(pixels, starts, tuple(line.text for line in lines))

    def __len__(self) -> int:
        """Number of lines."""
        return len(self.texts)

    @property
    def widths(self) -> NDArray[np.int64]:
        """Width of each line in pixels, (N,)."""
        return np.diff(self.starts)

    def image(self, row: int) -> NDArray[np.uint8]:
        """The image of a line, uint8 (32, W)."""
        return self.pixels[:, self.starts[row] : self.starts[row + 1]]


def make_pool(
    lines: NumberLines, count: int, folder: Path, about: dict[str, Any], progress: LineProgress = lambda done, of: None
) -> LinePool:
    """Make lines, or read those that the folder has.

    Args:
        lines: source of the lines.
        count: number of lines.
        folder: folder of the blocks; created if missing.
        about: what the lines are made of, JSON values; blocks made of anything else are replaced.
        progress: called after each block.

    Raises:
        InputError: the folder cannot be written.
    """
    record = {**about, "block": BLOCK}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_known = (folder / _LINES).exists() and read_json(folder / _LINES) == json.loads(json.dumps(record))
        if not is_known:
            for old in folder.glob("block-*.npz"):
                old.unlink()
            with atomic_write(folder / _LINES) as stream:
                stream.write(json.dumps(record).encode())
    except OSError as error:
        raise InputError(f"{folder} cannot store the lines: {error.strerror}; name another folder") from error
    parts = []
    for number in range(-(-count // BLOCK)):
        file = folder / _BLOCK_FILE.format(number)
        if not file.exists():
            _write(file, LinePool.of(lines.block(number)))
        parts.append(_read(file))
        progress(min((number + 1) * BLOCK, count), count)
    return _joined(parts, count)


def _joined(parts: list[LinePool], count: int) -> LinePool:
    texts = tuple(text for part in parts for text in part.texts)[:count]
    widths = np.concatenate([part.widths for part in parts])[:count]
    starts = np.concatenate([[0], np.cumsum(widths)])
    pixels = np.concatenate([part.pixels for part in parts], axis=1)[:, : starts[-1]]
    return LinePool(pixels, starts, texts)


def _write(file: Path, pool: LinePool) -> None:
    with atomic_write(file) as stream:
        np.savez_compressed(stream, pixels=pool.pixels, starts=pool.starts, texts=np.array(pool.texts))


def _read(file: Path) -> LinePool:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return LinePool(arrays["pixels"], arrays["starts"], tuple(map(str, arrays["texts"])))
    except Exception as error:  # numpy, zipfile and zlib raise a dozen exception types for damaged archives
        raise InputError(f"{file} is damaged ({error}); delete it and train again") from error
