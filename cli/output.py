"""What commands print: JSON lines, tables, progress."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

SCHEMA_VERSION = 1


def print_json(values: dict[str, Any]) -> None:
    """Print one object on one line."""
    click.echo(json.dumps({"schema_version": SCHEMA_VERSION, **values}, ensure_ascii=False))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Print columns as wide as they must be; the first `left` of them flush left, the others flush right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        cells = [
            cell.ljust(w) if i < left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


def note(text: str) -> None:
    """Tell a person what happens; on stderr, so that pipes stay clean."""
    click.echo(text, err=True)


def on_terminal() -> bool:
    """Whether a person sees progress bars."""
    return sys.stderr.isatty()


@contextmanager
def download_progress() -> Iterator[Callable[[int, int | None], None]]:
    """Show how much of a file has come; nothing is shown before the first byte, or where no terminal is."""
    bars: list[Any] = []

    def advance(done: int, total: int | None) -> None:
        if not on_terminal():
            return
        if not bars:
            bars.append(click.progressbar(length=total or 0, label="downloading", file=sys.stderr))
        bars[0].update(done - bars[0].pos)

    try:
        yield advance
    finally:
        for bar in bars:
            bar.render_finish()


@contextmanager
def row_counter(label: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show how many rows are done, now and then, where a terminal is."""

    def advance(done: int, total: int | None) -> None:
        if on_terminal():
            click.echo(f"\r{label} {done:,} rows", err=True, nl=False)

    yield advance
    if on_terminal():
        click.echo("\r\033[K", err=True, nl=False)


def percent(value: float, digits: int = 2) -> str:
    """A share as a percentage."""
    return f"{100 * value:.{digits}f} %"
