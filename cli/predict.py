"""The `digits-edge predict` command."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from digits_edge.cli.options import examples, file_path, json_option, model_option, overwrite_option, session_options
from digits_edge.cli.output import note, print_error, print_json, progress, say
from digits_edge.runtime.errors import InputError
from digits_edge.runtime.files import atomic_write, refuse_existing

if TYPE_CHECKING:
    from PIL.Image import Image

    from digits_edge.runtime.classifier import Classifier
    from digits_edge.runtime.prediction import Prediction

#: Maximum number of rows in the image of --explain; a row is about 250 pixels high.
_MAX_EXPLAINED = 100
#: JSON values for a picture that could not be read, apart from the error.
_UNREADABLE: dict[str, Any] = {
    "digit": None,
    "label": None,
    "confidence": None,
    "probabilities": None,
    "status": "error",
    "provider": None,
    "boxes": [],
}


@click.command(
    epilog=examples("digits-edge predict seven.png", "digits-edge predict scans/ --top 3 --explain steps.png")
)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@model_option
@session_options
@click.option("--top", type=click.IntRange(min=1), default=1, show_default=True, help="Classes to print per picture.")
@click.option("--explain", metavar="FILE.png", help="Output image with the preprocessing steps, one row per picture.")
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
    """Classify each picture.

    IMAGE is a picture file, a folder of pictures (without subfolders), a glob, or - for one picture on standard input.

    The status of a picture is `ok`, or `uncertain` if the confidence is low. With models of digits or objects it is
    `blank` if there is none, and `several` if there are several digits. A picture that cannot be read does not stop the
    command: the others are classified, and the exit code is 4. With --json its status is `error`.
    """
    from digits_edge.runtime.classifier import Classifier
    from digits_edge.runtime.preprocessing.pictures import printable

    sources = picture_sources(images)
    target = None if explain is None else _explanation_path(explain, len(sources), overwrite=overwrite)
    width = max(len(printable(name)) for name, _ in sources)
    rows: list[Image] = []
    failures = 0
    bar = progress("predicting")
    with Classifier(model, provider=provider, threads=threads, images=len(sources)) as classifier:
        for done, (name, source) in enumerate(sources):
            if not sys.stdout.isatty():  # on a terminal the results themselves show the progress
                bar(done, len(sources))
            try:
                if target is None:
                    prediction = classifier.predict(source)
                else:
                    prediction, row = _explained(classifier, source, printable(name))
                    rows.append(row)
            except InputError as error:
                if as_json:
                    print_json({"path": name, **_UNREADABLE, "error": str(error)})
                if len(sources) == 1:
                    raise
                print_error(error)
                failures += 1
            else:
                _print(name, prediction, top, width, as_json=as_json)
    if target is not None and rows:
        _write_rows(rows, target)
        note(f"wrote {target}")
    if failures:
        raise InputError(f"{failures} of {len(sources)} pictures could not be read; the others are classified")


def picture_sources(images: tuple[str, ...]) -> list[tuple[str, Any]]:
    """Return the name and the path or stream of each picture of the arguments: files, folders, globs, or -."""
    if "-" not in images:
        return [(os.fspath(path), path) for argument in images for path in _found(argument, alone=len(images) == 1)]
    if len(images) > 1:
        raise click.UsageError("- cannot be combined with other pictures; pass - alone to read standard input.")
    return [("-", sys.stdin.buffer)]


def _print(name: str, prediction: "Prediction", top: int, width: int, *, as_json: bool) -> None:
    from digits_edge.runtime.prediction import probability_text, subject
    from digits_edge.runtime.preprocessing.pictures import printable

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
                "boxes": prediction.boxes,
            }
        )
        return
    classes = "  ".join(f"{label} {probability_text(p)}" for label, p in prediction.top(top))
    status = "" if prediction.status == "ok" else f"  {prediction.status}"
    if prediction.status == "several":
        found = subject(prediction.labels)
        remedy = "read them with `digits-edge read`" if found == "digit" else "crop the picture to one"
        status += f": {len(prediction.boxes)} {found}s found; {remedy}"
    say(f"{printable(name).ljust(width)}  {classes}{status}".rstrip())


def _found(argument: str, *, alone: bool) -> list[Path]:
    """Return the pictures of an argument; one of several arguments without pictures is returned and fails later."""
    from digits_edge.runtime.preprocessing.pictures import find_pictures

    try:
        return find_pictures([argument])
    except InputError:
        if alone:
            raise
        return [Path(argument)]


def _explanation_path(argument: str, pictures: int, *, overwrite: bool) -> Path:
    target = file_path(argument)
    if target.suffix.lower() != ".png":
        raise click.UsageError(f"--explain writes a PNG file; use a name that ends in .png instead of {argument}.")
    if pictures > _MAX_EXPLAINED:
        raise click.UsageError(f"--explain supports at most {_MAX_EXPLAINED} pictures, but there are {pictures}.")
    refuse_existing(target, overwrite=overwrite)
    return target


def _explained(classifier: "Classifier", source: Any, name: str) -> "tuple[Prediction, Image]":
    import numpy as np

    from digits_edge.runtime.preprocessing.explanation import explanation
    from digits_edge.runtime.preprocessing.pictures import open_picture

    picture = open_picture(source)
    seen = classifier.prepare(picture)
    probabilities = classifier.predict_batch(seen.image[np.newaxis])[0]
    prediction = classifier.prediction(seen.image, probabilities, seen.boxes)
    return prediction, explanation(picture, seen, prediction, name=name)


def _write_rows(rows: "list[Image]", target: Path) -> None:
    from digits_edge.runtime.preprocessing.explanation import stacked

    with atomic_write(target) as stream:
        stacked(rows).save(stream, format="PNG")
