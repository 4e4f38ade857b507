"""The `digits-edge read` command."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from digits_edge.cli.options import (
    examples,
    file_path,
    json_option,
    output_option,
    overwrite_option,
    refuse_options,
    session_options,
)
from digits_edge.cli.output import counted, note, print_error, print_json, progress, say
from digits_edge.cli.predict import picture_sources
from digits_edge.runtime.errors import InputError
from digits_edge.runtime.files import atomic_write, is_same_file, refuse_existing

if TYPE_CHECKING:
    from PIL.Image import Image

    from digits_edge.runtime.batch.numbers import NumbersReport
    from digits_edge.runtime.reader.line_reader import Wanted
    from digits_edge.runtime.reader.reader import Reader
    from digits_edge.runtime.reader.reading import Reading
    from digits_edge.runtime.reader.region import Region

#: Options of readings that are printed; a template has fields with regions and constraints of their own.
_PRINTED_OPTIONS = ("length", "pattern", "check", "regions", "overlay")
_TEMPLATE_OPTIONS = ("output", "resume")


def number_model_option(function: Any) -> Any:
    """Add `--model`, one bundled name or model file that reads numbers."""
    text = "Bundled model (see `digits-edge models`) or path of a model file that reads numbers.  [default: number]"
    return click.option("--model", metavar="NAME|FILE", help=text)(function)


def constraint_options(function: Any) -> Any:
    """Add `--length`, `--pattern` and `--check`."""
    check = "Check that numbers satisfy: luhn, iban, iban:DE (or another country), isbn13."
    function = click.option("--check", metavar="NAME", help=check)(function)
    pattern = "Pattern of numbers: N is a digit, a space may be missing, other characters must be written."
    function = click.option("--pattern", metavar="'NNNN NN'", help=pattern)(function)
    return click.option("--length", type=int, metavar="N", help="Number of digits of every number.")(function)


@click.command(
    epilog=examples(
        "digits-edge read form.jpg --overlay seen.png",
        "digits-edge read postcode.png --length 5 --json",
        "digits-edge read meter.jpg --region 40%,30%,80%,45% --pattern NNNNN.N",
        "digits-edge read forms/ --template meter.yaml -o readings.csv --resume",
    )
)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@number_model_option
@session_options
@constraint_options
@click.option(
    "--region",
    "regions",
    multiple=True,
    metavar="L,U,R,L",
    help="Field with one number: left, upper, right, lower in pixels or percent; repeatable.  [default: all lines]",
)
@click.option("--overlay", metavar="FILE.png", help="Output picture with the boxes and numbers, for one IMAGE.")
@click.option("--template", metavar="FILE", help="YAML or JSON file with the fields of a form, for --output.")
@output_option("Output CSV of --template, one row for each form.", required=False)
@click.option("--resume", is_flag=True, help="Resume an interrupted run of --template; keep partial output.")
@overwrite_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    images: tuple[str, ...],
    model: str | None,
    provider: str,
    threads: int | None,
    length: int | None,
    pattern: str | None,
    check: str | None,
    regions: tuple[str, ...],
    overlay: str | None,
    template: str | None,
    output: str | None,
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Read the numbers in each picture.

    IMAGE is a picture file, a folder of pictures (without subfolders), a glob, or - for one picture on standard input.

    Each line of a picture with a number is printed with its confidence. Separators are printed as written. The status
    is `uncertain` if the confidence is low or no number satisfies the constraints; a picture without a number is
    `blank` or `not-a-number`. Constraints are applied while the numbers are searched. A picture that cannot be read
    does not stop the command: the others are read, and the exit code is 4. With --json its status is `error`.

    With --template, the fields of forms are read into one row each. Forms with a doubtful field are written to
    OUTPUT.review.csv instead, with crops of these fields in the folder OUTPUT.review.
    """
    if template is not None:
        refuse_options(context, _PRINTED_OPTIONS, "without --template")
        if output is None:
            raise click.UsageError("--template needs the output file: add -o readings.csv.")
        _read_forms(
            images, template, output, model, provider, threads, resume=resume, overwrite=overwrite, as_json=as_json
        )
        return
    refuse_options(context, _TEMPLATE_OPTIONS, "with --template")
    from digits_edge.runtime.reader.line_reader import Wanted
    from digits_edge.runtime.reader.reader import Reader
    from digits_edge.runtime.reader.region import RegionError, parse_region

    sources = picture_sources(images)
    areas = [parse_region(region) for region in regions]
    target = None if overlay is None else _overlay_path(overlay, [name for name, _ in sources], overwrite=overwrite)
    failures = 0
    bar = progress("reading")
    with Reader(model, provider=provider, threads=threads) as reader:
        wanted = Wanted(_constraint(reader, length, pattern, check))
        for done, (name, source) in enumerate(sources):
            if not sys.stdout.isatty():  # on a terminal the results themselves show the progress
                bar(done, len(sources))
            try:
                reading, picture = _read(reader, source, wanted, areas)
            except (InputError, RegionError) as error:
                if as_json:
                    print_json({"path": name, "status": "error", "lines": [], "error": str(error)})
                if len(sources) == 1:
                    raise
                print_error(InputError(f"{name}: {error}") if isinstance(error, RegionError) else error)
                failures += 1
            else:
                _print(name, reading, as_json=as_json)
                if target is not None:
                    _draw(picture, reading, target)
    if failures:
        raise InputError(f"{failures} of {len(sources)} pictures could not be read; the others are printed")


def print_numbers_report(report: "NumbersReport", output: str, reader: "Reader", *, what: str, as_json: bool) -> None:
    """Print the result of reading many pictures, and raise an error if some of them could not be read.

    Args:
        report: the result.
        output: path of the output.
        reader: the model.
        what: "numbers" or "forms".
        as_json: whether to print JSON.

    Raises:
        InputError: pictures could not be read.
    """
    from digits_edge.runtime.batch.numbers import review_path

    name, bound = reader.metadata.name, reader.provider
    doubtful = "review" if what == "forms" else "uncertain"
    if as_json:
        counts = {"pictures": report.pictures, what: report.numbers, doubtful: report.doubtful}
        seconds = round(report.elapsed_s, 3)
        print_json(
            {"output": output, **counts, "failed": report.failed, "seconds": seconds, "model": name, "provider": bound}
        )
    else:
        read = counted(report.numbers, what.removesuffix("s")) + (" complete" if what == "forms" else "")
        rest = f"{report.doubtful:,} for review" if what == "forms" else counted(report.doubtful, "uncertain number")
        pictures = counted(report.pictures, "picture")
        note(f"{pictures} in {report.elapsed_s:.2f} s by {name} on {bound}: {read}, {rest} → {output}")
    for reason in report.failed.values():
        print_error(InputError(reason))
    if report.unread:
        place = review_path(Path(output)) if what == "forms" else output
        raise InputError(f"{counted(report.unread, 'picture')} could not be read; see the status error in {place}")


def _read_forms(
    images: tuple[str, ...],
    template: str,
    output: str,
    model: str | None,
    provider: str,
    threads: int | None,
    *,
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    from digits_edge.runtime.batch.numbers import batch_read_forms
    from digits_edge.runtime.reader.reader import Reader
    from digits_edge.runtime.reader.template import read_template

    if "-" in images:
        raise click.UsageError("--template reads files; pass their paths or a folder instead of -.")
    form = read_template(file_path(template))
    if is_same_file(Path(template), Path(output)):
        raise click.UsageError(f"{output} is the template; name another output.")
    paths = [Path(name) for name, _ in picture_sources(images)]
    with Reader(model, provider=provider, threads=threads) as reader:
        report = batch_read_forms(
            reader,
            paths,
            form,
            output,
            overwrite=overwrite,
            resume=resume,
            on_resume=lambda done, partial: note(f"resumed after form {done:,} of {partial}"),
            progress=progress("reading"),
        )
        print_numbers_report(report, output, reader, what="forms", as_json=as_json)


def _constraint(reader: "Reader", length: int | None, pattern: str | None, check: str | None) -> Any:
    from digits_edge.runtime.reader.constraints import constraint_of

    return constraint_of(length, pattern, check, characters=reader.characters)


def _read(reader: "Reader", source: Any, wanted: "Wanted", regions: "list[Region]") -> "tuple[Reading, Image]":
    from digits_edge.runtime.preprocessing.pictures import full_size, open_picture
    from digits_edge.runtime.reader.reader import JPEG_SIDE

    picture = open_picture(source, jpeg_side=JPEG_SIDE)
    boxes = [region.box(full_size(picture)) for region in regions] or None
    return reader.read_picture(picture, wanted, boxes), picture


def _print(name: str, reading: "Reading", *, as_json: bool) -> None:
    from digits_edge.runtime.prediction import probability_text
    from digits_edge.runtime.preprocessing.pictures import printable

    if as_json:
        print_json({"path": name, **reading.to_json()})
        return
    if not reading.lines:
        say(f"{printable(name)}  {reading.status}")
    width = max((len(line.text) for line in reading.lines), default=0)
    for line in reading.lines:
        confidence = f"  {probability_text(line.confidence)}" if line.text else ""
        status = "" if line.status == "ok" else f"  {line.status}"
        say(f"{printable(name)}  {line.text:{width}}{confidence}{status}")


def _overlay_path(argument: str, pictures: list[str], *, overwrite: bool) -> Path:
    target = file_path(argument)
    if target.suffix.lower() != ".png":
        raise click.UsageError(f"--overlay writes a PNG file; use a name that ends in .png instead of {argument}.")
    if len(pictures) > 1:
        raise click.UsageError(f"--overlay draws one picture, but there are {len(pictures)}; pass one.")
    refuse_existing(target, overwrite=overwrite)
    if is_same_file(Path(pictures[0]), target):
        raise click.UsageError(f"{argument} is the picture; name another file after --overlay.")
    return target


def _draw(picture: "Image", reading: "Reading", target: Path) -> None:
    from digits_edge.runtime.reader.overlay import overlay

    with atomic_write(target) as stream:
        overlay(picture, reading).save(stream, format="PNG")
    note(f"wrote {os.fspath(target)}")
