"""Made lines on disk, filled block by block and resumed after an interruption: `make_pool`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from digits_edge.runtime.datasets.line_set import LineSet, read_line_set, write_line_set
from digits_edge.runtime.errors import InputError
from digits_edge.runtime.files import atomic_write
from digits_edge.runtime.json_record import read_json
from digits_edge.train.numbers.lines import BLOCK, NumberLines

_LINES, _BLOCK_FILE = "lines.json", "block-{:05d}.npz"

#: Called with the number of lines so far and the number of all lines.
LineProgress = Callable[[int, int], None]


def make_pool(
    lines: NumberLines,
    count: int,
    folder: Path,
    about: dict[str, Any],
    progress: LineProgress = lambda done, of: None,
    *,
    block: int = BLOCK,
) -> LineSet:
    """Make lines, or read those that the folder has.

    Args:
        lines: source of the lines.
        count: number of lines.
        folder: folder of the blocks; created if missing.
        about: what the lines are made of, JSON values; blocks made of anything else are replaced.
        progress: called after each block.
        block: number of lines of a block.

    Raises:
        InputError: the folder cannot be written.
    """
    record = {**about, "block": block}
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
    for number in range(-(-count // block)):
        file = folder / _BLOCK_FILE.format(number)
        if not file.exists():
            made = lines.block(number, block)
            images, texts = [line.image for line in made], [line.text for line in made]
            with atomic_write(file) as stream:
                write_line_set(stream, LineSet.of(file.stem, images, texts))
        parts.append(read_line_set(file))
        progress(min((number + 1) * block, count), count)
    return LineSet.joined(folder.name, parts, count)
