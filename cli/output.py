"""Terminal output of the commands: results on stdout, notes and progress on stderr."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import click

from digits_edge.runtime.errors import DigitsEdgeError

SCHEMA_VERSION = 1
_BAR_COLUMNS = 30
_REDRAW_INTERVAL_S = 0.2

#: Whether the last line of the terminal shows progress that the next output has to erase.
_progress_is_shown = False


def visible(text: str) -> str:
    r"""Escape control characters, so that file names cannot send them to the terminal.

    Example:
        >>> visible("a\x1b[31m.png")
        'a\\x1b[31m.png'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _visible_lines(text: str) -> str:
    return "\n".join(map(visible, text.split("\n")))


def say(text: str) -> None:
    """Print a result to stdout; the text may have several lines."""
    if sys.stdout.isatty():
        wipe()
    click.echo(_visible_lines(text))


def note(text: str) -> None:
    """Print a note to stderr, so that pipes receive results only."""
    wipe()
    click.echo(_visible_lines(text), err=True)


def print_error(error: DigitsEdgeError) -> None:
    """Print an error as one line on stderr, with control characters escaped."""
    note(f"error: {visible(str(error))}")


def print_json(values: dict[str, Any]) -> None:
    """Print an object with the schema version as one line of ASCII JSON."""
    say(json.dumps({"schema_version": SCHEMA_VERSION, **values}))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Print a table with columns as wide as their longest cell.

    Args:
        head: column titles.
        rows: cells of each row.
        left: number of left-aligned columns; the others are right-aligned.
    """
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        cells = [
            cell.ljust(w) if i < left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        say("  ".join(cells).rstrip())


def show(text: str) -> None:
    """Show a status in the last line of the terminal until the next output; do nothing without a terminal."""
    global _progress_is_shown
    if _is_interactive():
        import shutil  # 5 ms with its imports, which non-interactive commands save

        columns = shutil.get_terminal_size().columns - 1
        click.echo(f"\r{visible(text)[:columns]}\033[K", err=True, nl=False)
        _progress_is_shown = True


def wipe() -> None:
    """Erase the status written by `show`."""
    global _progress_is_shown
    if _progress_is_shown:
        _progress_is_shown = False
        click.echo("\r\033[K", err=True, nl=False)


def progress(label: str) -> Callable[[int, int | None], None]:
    """Create a progress bar.

    Args:
        label: text before the bar.

    Returns:
        A callback for (done, total). Without a total, `done` is shown as megabytes.
    """
    drawn_s = time.monotonic()

    def advance(done: int, total: int | None) -> None:
        nonlocal drawn_s
        if time.monotonic() - drawn_s < _REDRAW_INTERVAL_S:
            return
        drawn_s = time.monotonic()
        if not total:
            show(f"{label}  {done / 1e6:.1f} MB")
            return
        share = min(done / total, 1)
        show(f"{label}  [{'#' * round(_BAR_COLUMNS * share):{_BAR_COLUMNS}}] {share:4.0%}")

    return advance


def percent(value: float, digits: int = 2) -> str:
    """Format a fraction as a percentage.

    Example:
        >>> percent(0.9938)
        '99.38 %'
    """
    return f"{100 * value:.{digits}f} %"


def _is_interactive() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
