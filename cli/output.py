"""What commands print: answers and JSON lines on stdout; notes, and on a terminal the progress, on stderr."""

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
_REDRAWN_AFTER_S = 0.2

#: Whether the terminal's last line shows progress, which the next output has to wipe.
_progress_is_shown = False


def visible(text: str) -> str:
    """The text with its control characters shown, not sent to a terminal: names in it may be anybody's."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _visible_lines(text: str) -> str:
    return "\n".join(map(visible, text.split("\n")))


def say(text: str) -> None:
    """Print an answer, of one line or more."""
    if sys.stdout.isatty():
        wipe()
    click.echo(_visible_lines(text))


def note(text: str) -> None:
    """Tell a person what happens; on stderr, so that pipes stay clean."""
    wipe()
    click.echo(_visible_lines(text), err=True)


def print_error(error: DigitsEdgeError) -> None:
    """One line on stderr; control characters of names and rows are shown, not sent to the terminal."""
    note(f"error: {visible(str(error))}")


def print_json(values: dict[str, Any]) -> None:
    """Print one object on one line, in ASCII: any terminal and any pipe can carry it."""
    say(json.dumps({"schema_version": SCHEMA_VERSION, **values}))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Print columns as wide as they must be; the first `left` of them flush left, the others flush right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        cells = [
            cell.ljust(w) if i < left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        say("  ".join(cells).rstrip())


def show(text: str) -> None:
    """Show what happens now, in the terminal's last line until the next output; nothing where no person watches."""
    global _progress_is_shown
    if _person_watches():
        import shutil  # with what it imports, 5 ms that whoever gets one answer need not wait for

        columns = shutil.get_terminal_size().columns - 1
        click.echo(f"\r{visible(text)[:columns]}\033[K", err=True, nl=False)
        _progress_is_shown = True


def wipe() -> None:
    """Wipe what `show` has written."""
    global _progress_is_shown
    if _progress_is_shown:
        _progress_is_shown = False
        click.echo("\r\033[K", err=True, nl=False)


def progress(label: str) -> Callable[[int, int | None], None]:
    """A progress bar, as a function of what is done and what there is in all, or None: of bytes that may be unknown."""
    drawn_s = time.monotonic()

    def advance(done: int, total: int | None) -> None:
        nonlocal drawn_s
        if time.monotonic() - drawn_s < _REDRAWN_AFTER_S:
            return
        drawn_s = time.monotonic()
        if not total:
            show(f"{label}  {done / 1e6:.1f} MB")
            return
        share = min(done / total, 1)
        show(f"{label}  [{'#' * round(_BAR_COLUMNS * share):{_BAR_COLUMNS}}] {share:4.0%}")

    return advance


def percent(value: float, digits: int = 2) -> str:
    """A share as a percentage."""
    return f"{100 * value:.{digits}f} %"


def _person_watches() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
