"""`digits-edge predict`: pictures in, digits out."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from digits_edge.cli.options import file_path, json_option, model_option, overwrite_option, session_options
from digits_edge.cli.output import note, print_error, print_json, progress, say
from digits_edge.runtime.errors import InputError
from digits_edge.runtime.files import atomic_write, refuse_existing

if TYPE_CHECKING:
    from PIL.Image import Image

    from digits_edge.runtime.classifier import Classifier
    from digits_edge.runtime.prediction import Prediction

#: A row takes 250 lines of pixels; a picture of more than this many rows is none that people look at.
_MAX_EXPLAINED = 100
#: What JSON says of a picture that could not be read, beside the reason.
_UNREAD = {
    "digit": None,
    "label": None,
    "confidence": None,
    "probabilities": None,
    "status": "error",
    "provider": None,
}


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@model_option
@session_options
@click.option("--top", type=click.IntRange(min=1), default=1, show_default=True, help="Digits shown for each picture.")
@click.option("--explain", metavar="FILE.png", help="Also draw what was seen, step by step, a row for each picture.")
@overwrite_option
@json_option
def command(
    images: tuple[str, ...],
    model: str | None,
    provider: str,
    threads: int | None,
    top: int,
    explain: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Read the digit in pictures: files, folders (not those in them), globs, or - for a picture on standard input.

    A picture without ink is `blank`; one the model is unsure of is `uncertain` and keeps its best digit. Where some of
    many pictures cannot be read, the others are answered and the exit code is 4; with --json its status is `error`.
    """
    from digits_edge.runtime.classifier import Classifier
    from digits_edge.runtime.prediction import probability_text
    from digits_edge.runtime.preprocessing.pictures import printable

    if "-" in images:
        if len(images) > 1:
            raise click.UsageError("- stands alone: it is one picture on standard input.")
        sources: list[tuple[str, Any]] = [("-", sys.stdin.buffer)]
    else:
        sources = [(os.fspath(path), path) for asked in images for path in _found(asked, alone=len(images) == 1)]
    target = None if explain is None else _explanation_path(explain, len(sources), overwrite=overwrite)
    rows = []
    width = max(len(printable(name)) for name, _ in sources)
    bar = progress("reading")
    failures = 0
    with Classifier(model, provider=provider, threads=threads, images=len(sources)) as classifier:
        for done, (name, source) in enumerate(sources):
            if not sys.stdout.isatty():  # there, the answers themselves show how far it is
                bar(done, len(sources))
            try:
                if target is None:
                    prediction = classifier.predict(source)
                else:
                    prediction, row = _explained(classifier, source, printable(name))
                    rows.append(row)
            except InputError as error:
                if as_json:
                    print_json({"path": name, **_UNREAD, "error": str(error)})
                if len(sources) == 1:
                    raise
                print_error(error)
                failures += 1
                continue
            if as_json:
                print_json(
                    {
                        "path": name,
                        "digit": prediction.digit,
                        "label": prediction.label,
                        "confidence": round(prediction.confidence, 6),
                        "probabilities": [round(p, 6) for p in prediction.probabilities],
                        "status": prediction.status,
                        "provider": prediction.provider,
                    }
                )
                continue
            guesses = "  ".join(f"{label} {probability_text(p)}" for label, p in prediction.top(top))
            remark = "" if prediction.status == "ok" else f"  {prediction.status}"
            say(f"{printable(name).ljust(width)}  {guesses}{remark}".rstrip())
    if target is not None and rows:
        _write_rows(rows, target)
        note(f"{target} shows what was seen")
    if failures:
        raise InputError(f"{failures} of {len(sources)} pictures could not be read; the others are answered")


def _found(asked: str, *, alone: bool) -> list[Path]:
    """The pictures that an argument names; where it names none among others, itself, which is complained of later."""
    from digits_edge.runtime.preprocessing.pictures import find_pictures

    try:
        return find_pictures([asked])
    except InputError:
        if alone:
            raise
        return [Path(asked)]


def _explanation_path(asked: str, pictures: int, *, overwrite: bool) -> Path:
    target = file_path(asked)
    if target.suffix.lower() != ".png":
        raise click.UsageError(f"--explain writes a PNG: name a file that ends in .png, not {asked}.")
    if pictures > _MAX_EXPLAINED:
        raise click.UsageError(f"--explain draws {_MAX_EXPLAINED} pictures at most, and these are {pictures}.")
    refuse_existing(target, overwrite=overwrite)
    return target


def _explained(classifier: "Classifier", source: Any, name: str) -> "tuple[Prediction, Image]":
    from digits_edge.runtime.preprocessing.explanation import explanation
    from digits_edge.runtime.preprocessing.pictures import open_picture

    picture = open_picture(source)
    seen = classifier.prepare(picture)
    prediction = classifier.predict(seen.image)
    return prediction, explanation(picture, seen, prediction, name=name)


def _write_rows(rows: "list[Image]", target: Path) -> None:
    from digits_edge.runtime.preprocessing.explanation import stacked

    with atomic_write(target) as stream:
        stacked(rows).save(stream, format="PNG")
