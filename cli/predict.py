"""`digits-edge predict`: pictures in, digits out."""

import os
import sys
from typing import Any

import click

from digits_edge.cli.main import complain
from digits_edge.cli.options import json_option, model_option, session_options
from digits_edge.cli.output import percent, print_json, progress, say
from digits_edge.runtime.errors import InputError


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@model_option
@session_options
@click.option("--top", type=click.IntRange(min=1), default=1, show_default=True, help="Digits shown for each picture.")
@json_option
def command(
    images: tuple[str, ...], model: str | None, provider: str, threads: int | None, top: int, as_json: bool
) -> None:
    """Read the digit in pictures: files, folders (not those in them), globs, or - for a picture on standard input.

    A picture without ink is `blank`; one the model is unsure of is `uncertain` and keeps its best digit. Where some of
    many pictures cannot be read, the others are answered and the exit code is 4.
    """
    from digits_edge.runtime.classifier import Classifier
    from digits_edge.runtime.pictures import find_pictures, printable

    if "-" in images:
        if len(images) > 1:
            raise click.UsageError("- stands alone: it is one picture on standard input.")
        sources: list[tuple[str, Any]] = [("-", sys.stdin.buffer)]
    else:
        sources = [(os.fspath(path), path) for path in find_pictures(images)]
    width = max(len(printable(name)) for name, _ in sources)
    bar = progress("reading")
    failures = 0
    with Classifier(model, provider=provider, threads=threads) as classifier:
        for done, (name, source) in enumerate(sources):
            if not sys.stdout.isatty():  # there, the answers themselves show how far it is
                bar(done, len(sources))
            try:
                prediction = classifier.predict(source)
            except InputError as error:
                if len(sources) == 1:
                    raise
                complain(error)
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
            guesses = "  ".join(f"{label} {percent(p, 1)}" for label, p in prediction.top(top))
            remark = "" if prediction.status == "ok" else f"  {prediction.status}"
            say(f"{printable(name).ljust(width)}  {guesses}{remark}".rstrip())
    if failures:
        raise InputError(f"{failures} of {len(sources)} pictures could not be read; the others are answered")
