"""Output of the commands: results on stdout, notes and progress on stderr.

Progress is the last line of a terminal. Without a terminal it is a line every ten seconds, so that a log of long work
is not silent; `--quiet` turns off both.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import click

from digits_edge.runtime.errors import DigitsEdgeError
from digits_edge.runtime.session.quiet import write_past_silence

SCHEMA_VERSION = 1
_BAR_COLUMNS = 30
_REDRAW_INTERVAL_S = 0.2
#: Time without output after which the current step is printed, if there is no terminal.
SILENCE_S = 10.0

#: Whether the last line of the terminal shows progress that the next output has to erase.
_progress_is_shown = False


class _Steps:
    """Prints the current step of long work to stderr after `SILENCE_S` without output, until the work ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._text = ""
        self._started_s = self._printed_s = 0.0

    def show(self, text: str) -> None:
        """Set the current step."""
        self._text = text
        if self._thread is None:
            self._started_s = self._printed_s = time.monotonic()
            self._ended = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(self._ended,), daemon=True)
            self._thread.start()

    def printed(self) -> None:
        """Record other output: the step is over, and the work is not silent."""
        self._text, self._printed_s = "", time.monotonic()

    def end(self) -> None:
        """Print nothing more."""
        with self._lock:
            self._ended.set()
            self._thread, self._text = None, ""

    def _run(self, ended: threading.Event) -> None:
        while not ended.wait(max(0.01, self._printed_s + SILENCE_S - time.monotonic())):
            with self._lock:
                now = time.monotonic()
                if ended.is_set() or now - self._printed_s < SILENCE_S:
                    continue
                self._printed_s = now
                if text := self._text:
                    line = f"{visible(text)} ({now - self._started_s:.0f} s)"
                    if not write_past_silence(f"{line}\n"):
                        click.echo(line, err=True)


_steps = _Steps()
_is_quiet = False


def start(*, quiet: bool) -> None:
    """Begin the output of a command.

    Args:
        quiet: whether to print no progress.
    """
    global _is_quiet
    _is_quiet = quiet


def finish() -> None:
    """End the output of a command: erase the status, and print no more steps."""
    _steps.end()
    wipe()


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
    _steps.printed()
    if sys.stdout.isatty():
        wipe()
    click.echo(_visible_lines(text))


def note(text: str) -> None:
    """Print a note to stderr, so that pipes receive results only."""
    _steps.printed()
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
    """Show what the command is doing, until the next output.

    It is the last line of a terminal; without a terminal, a line that is printed if the command is silent for ten
    seconds.
    """
    global _progress_is_shown
    if _is_quiet:
        return
    if not _is_interactive():
        _steps.show(text)
    else:
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
    if label and not _is_interactive():
        show(label)

    def advance(done: int, total: int | None) -> None:
        nonlocal drawn_s
        if time.monotonic() - drawn_s < _REDRAW_INTERVAL_S:
            return
        drawn_s = time.monotonic()
        if not total:
            show(f"{label}  {done / 1e6:.1f} MB")
            return
        share = min(done / total, 1)
        bar = f"[{'#' * round(_BAR_COLUMNS * share):{_BAR_COLUMNS}}] " if _is_interactive() else ""
        show(f"{label}  {bar}{share:4.0%}")

    return advance


def counted(count: int, noun: str) -> str:
    """Format a number and its noun.

    Example:
        >>> counted(1, "picture"), counted(2000, "picture")
        ('1 picture', '2,000 pictures')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def percent(value: float, digits: int = 2) -> str:
    """Format a fraction as a percentage.

    Example:
        >>> percent(0.9938)
        '99.38 %'
    """
    return f"{100 * value:.{digits}f} %"


def _is_interactive() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
