"""Labelled lines of numbers: `LineSet`, read from a file or from a folder of pictures by `read_line_set`."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import DataError
from digits_edge.runtime.preprocessing.pictures import open_picture
from digits_edge.runtime.reader.line_image import LINE_HEIGHT, line_image, line_levels

#: Table of a folder of pictures, with the columns `file` and `text`.
LABELS = "labels.csv"


@dataclass(frozen=True, eq=False)
class LineSet:
    """Lines and their texts.

    Attributes:
        name: name of the set.
        pixels: uint8 (32, sum of all widths), the lines side by side.
        starts: int (N + 1,), first column of each line, and the end of the last one.
        texts: text of each line.

    Example:
        >>> lines = LineSet.of("two", [np.zeros((32, 20), np.uint8), np.zeros((32, 40), np.uint8)], ["12", ""])
        >>> len(lines), lines.image(1).shape, lines.widths.tolist()
        (2, (32, 40), [20, 40])
    """

    name: str
    pixels: NDArray[np.uint8]
    starts: NDArray[np.int64]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, name: str, images: Sequence[NDArray[np.uint8]], texts: Sequence[str]) -> Self:
        """The set of images, uint8 (32, W) each, and their texts."""
        pixels = np.concatenate(images, axis=1) if images else np.zeros((LINE_HEIGHT, 0), np.uint8)
        starts = np.concatenate([[0], np.cumsum([image.shape[1] for image in images])]).astype(np.int64)
        return cls(name, pixels, starts, tuple(texts))

    @classmethod
    def joined(cls, name: str, parts: Sequence["LineSet"], count: int | None = None) -> Self:
        """The first lines of several sets, all by default."""
        texts = tuple(text for part in parts for text in part.texts)[:count]
        widths = np.concatenate([part.widths for part in parts])[:count]
        starts = np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)
        return cls(name, np.concatenate([part.pixels for part in parts], axis=1)[:, : starts[-1]], starts, texts)

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

    @property
    def images(self) -> list[NDArray[np.uint8]]:
        """The image of each line."""
        return [self.image(row) for row in range(len(self))]

    def batches(self, size: int = 64) -> Iterator[tuple[list[int], NDArray[np.uint8]]]:
        """Yield rows and images of lines of similar widths, filled with paper on the right: uint8 (B, 32, W)."""
        order = np.argsort(self.widths, kind="stable").tolist()
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            width = -(-max(int(self.widths[row]) for row in rows) // 4) * 4
            batch = np.zeros((len(rows), LINE_HEIGHT, width), np.uint8)
            for place, row in enumerate(rows):
                batch[place, :, : self.widths[row]] = self.image(row)
            yield rows, batch


def write_line_set(stream: IO[bytes], lines: LineSet) -> None:
    """Write lines as `.npz`."""
    np.savez_compressed(stream, pixels=lines.pixels, starts=lines.starts, texts=np.array(lines.texts, dtype=np.str_))


def read_line_set(path: Path) -> LineSet:
    """Read lines of a file or folder.

    Args:
        path: a `.npz` file of `write_line_set`; a folder of them; or a folder with `labels.csv`, whose rows name a
            picture of one line and its text in the columns `file` and `text`.

    Raises:
        DataError: there are no lines, a file is damaged, or the table lacks a column.
        InputError: a picture cannot be read.

    Example:
        >>> import tempfile
        >>> lines = LineSet.of("one", [np.zeros((32, 20), np.uint8)], ["12"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with Path(folder, "lines.npz").open("wb") as stream:
        ...         write_line_set(stream, lines)
        ...     read_line_set(Path(folder)).texts
        ('12',)
    """
    if path.is_file():
        return _read_file(path)
    if (path / LABELS).is_file():
        return _read_pictures(path)
    files = sorted(path.glob("*.npz"))
    if not files:
        raise DataError(f"{path} has neither {LABELS} nor .npz files of lines; name a folder of labelled lines")
    return LineSet.joined(path.name, [_read_file(file) for file in files])


def _read_file(path: Path) -> LineSet:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = LineSet(path.stem, arrays["pixels"], arrays["starts"], tuple(map(str, arrays["texts"])))
            if found.pixels.shape != (LINE_HEIGHT, found.starts[-1]) or len(found.starts) != len(found) + 1:
                raise ValueError(f"pixels of shape {found.pixels.shape}")
            return found
    except Exception as error:  # numpy, zipfile and zlib raise a dozen exception types for damaged archives
        raise DataError(f"{path} is not a file of lines ({error}); delete it, or name another one") from error


def _read_pictures(folder: Path) -> LineSet:
    try:
        with (folder / LABELS).open(encoding="utf-8", newline="") as stream:
            rows = [(row["file"], row["text"]) for row in csv.DictReader(stream)]
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise DataError(f"{folder / LABELS}: no columns file and text ({error!r}); add them") from error
    images = [line_image(line_levels(open_picture(folder / file))) for file, _ in rows]
    return LineSet.of(folder.name, images, [text for _, text in rows])
