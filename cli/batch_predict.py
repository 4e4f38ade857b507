"""The `digits-edge batch-predict` command."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from digits_edge.cli.extras import needs_extra
from digits_edge.cli.options import (
    batch_size_option,
    examples,
    json_option,
    model_option,
    output_option,
    overwrite_option,
    refuse_options,
    session_options,
)
from digits_edge.cli.output import counted, note, percent, print_error, print_json, progress, show
from digits_edge.runtime.errors import InputError, UsageError

if TYPE_CHECKING:
    from digits_edge.runtime.batch.distributed import RayReport
    from digits_edge.runtime.batch.pictures import PictureReport
    from digits_edge.runtime.batch.table import BatchReport

#: Options of one engine only.
_LOCAL_OPTIONS = ("on_error", "resume", "task")
_RAY_OPTIONS = ("address", "file_format")
#: Options without an effect on numbers.
_CLASSIFY_OPTIONS = ("batch_size", "on_error", "pixel_range")
#: Maximum number of printed errors; the manifest lists all of them.
_MAX_PRINTED_ERRORS = 10


@click.command(
    epilog=examples(
        "digits-edge batch-predict test.csv -o submission.csv",
        "digits-edge batch-predict scans/ -o labels.csv",
        "digits-edge batch-predict scans/ --task numbers -o numbers.csv",
    )
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@output_option("Output CSV, or - for standard output; with --engine ray, the output folder.")
@click.option(
    "--task",
    type=click.Choice(["classify", "numbers"]),
    default="classify",
    show_default=True,
    help="Classes of pictures or rows, or the numbers in the pictures of a folder.",
)
@model_option
@session_options
@batch_size_option(128)
@click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="Action on a malformed row: stop, or skip it and list it in OUTPUT.errors.csv.",
)
@click.option("--resume", is_flag=True, help="Resume an interrupted run; keep partial output in OUTPUT.partial.")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Execution on this machine, or with Ray on one machine or a cluster.",
)
@click.option("--address", metavar="HOST:PORT", help="Address of a Ray cluster.  [default: start Ray on this machine]")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["parquet", "csv"]),
    default="parquet",
    show_default=True,
    help="Format of the output files of --engine ray.",
)
@click.option(
    "--pixel-range",
    type=click.Choice([1, 255]),
    help="Pixel range of the tables: 1 for 0–1, 255 for 0–255.  [default: 255; refused if no pixel is above 1]",
)
@overwrite_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    sources: tuple[str, ...],
    output: str,
    task: Literal["classify", "numbers"],
    model: str | None,
    provider: str,
    threads: int | None,
    batch_size: int,
    on_error: str,
    resume: bool,
    engine: Literal["local", "ray"],
    address: str | None,
    file_format: Literal["parquet", "csv"],
    pixel_range: Literal[1, 255] | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Classify the rows of a table or the pictures of a folder.

    SOURCE is a CSV file (pixel0…pixel783, optionally with label), a .parquet file with the same columns, or - for a CSV
    on standard input. Other delimiters, encodings and headers, and .gz, .bz2 and .zip, are recognised where they are
    certain. The output has the columns ImageId and Label. If SOURCE is a folder of pictures, the output has the columns
    File, Label, Confidence and Status. Pictures that cannot be read get the status error, and the exit code is 4.

    With --task numbers, SOURCE is a folder of pictures, and the output has the columns File, Line, Number, Confidence
    and Status, with a row for each number, as `digits-edge read` prints it.

    Tables have 28×28 images; models of other images classify folders of pictures.

    The input is streamed, so memory use does not depend on its size. The output file is written atomically. Up to
    --threads batches run in parallel.

    With --resume, finished rows are appended to OUTPUT.partial and synced every second. Repeat the same command to
    continue after an interruption. After a malformed row, correct the table, which starts a new run, or continue with
    --on-error skip.

    With --engine ray, SOURCE can be repeated: files, folders (with subfolders) and globs, local or remote (s3://, gs://
    and others). OUTPUT is a folder with Parquet or CSV files and _manifest.json. The columns are File, ImageId, Label
    and Confidence for rows; File, Label, Confidence and Status for pictures. The manifest lists inputs that could not
    be read; the exit code is then 4. Repeat the same command to complete an interrupted run. --threads is the number of
    workers.
    """
    if engine == "ray":
        refuse_options(context, _LOCAL_OPTIONS, "with --engine local")
        _predict_with_ray(
            sources,
            output,
            model=model,
            provider=provider,
            actors=threads,
            address=address,
            batch_size=batch_size,
            file_format=file_format,
            pixel_range=pixel_range,
            overwrite=overwrite,
            as_json=as_json,
        )
        return
    refuse_options(context, _RAY_OPTIONS, "with --engine ray")
    if task == "numbers":
        refuse_options(context, _CLASSIFY_OPTIONS, "with --task classify")
    if len(sources) > 1:
        raise UsageError(f"{len(sources)} sources need --engine ray; pass one source, for pictures their folder")
    if task == "numbers":
        _read_numbers(
            sources[0],
            output,
            model=model,
            provider=provider,
            threads=threads,
            resume=resume,
            overwrite=overwrite,
            as_json=as_json,
        )
        return
    _predict_locally(
        sources[0],
        output,
        model=model,
        provider=provider,
        threads=threads,
        batch_size=batch_size,
        skip_bad_rows=on_error == "skip",
        resume=resume,
        pixel_range=pixel_range,
        overwrite=overwrite,
        as_json=as_json,
    )


def _predict_locally(
    source: str,
    output: str,
    *,
    model: str | None,
    provider: str,
    threads: int | None,
    batch_size: int,
    skip_bad_rows: bool,
    resume: bool,
    pixel_range: Literal[1, 255] | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    from digits_edge.runtime.batch.table import batch_predict, refuse_table
    from digits_edge.runtime.classifier import Classifier
    from digits_edge.runtime.model.model_file import recorded_digest
    from digits_edge.runtime.model.steps import reads_ink
    from digits_edge.runtime.prediction import subject
    from digits_edge.runtime.session.threads import available_threads

    _check_csv(output, as_json=as_json)
    pictures = _pictures(source)
    counted_as = "picture" if pictures else "row"
    common: dict[str, Any] = {
        "workers": threads or available_threads(),
        "overwrite": overwrite,
        "progress": progress("predicting"),
        "on_resume": lambda done, partial: note(f"resumed after {counted_as} {done:,} of {partial}"),
    }
    report: BatchReport | PictureReport
    failed, unread = dict[str, str](), 0
    # one batch per thread is faster than one batch on all threads
    with Classifier(model, provider=provider, threads=1, images=len(pictures) or _max_rows(source)) as classifier:
        if pictures:
            from digits_edge.runtime.batch.pictures import batch_predict_pictures

            report = batch_predict_pictures(
                classifier, pictures, output, pictures_per_block=batch_size, resume=resume, **common
            )
            amount = counted(report.pictures, "picture")
            details = f", {report.uncertain:,} uncertain"
            if reads_ink(classifier.metadata.preprocessing):
                several = f"{report.several:,} with several {subject(classifier.labels)}s"
                details = f", {report.blank:,} blank, {several}{details}"
            counts: dict[str, Any] = {"pictures": report.pictures, "blank": report.blank}
            counts |= {"several": report.several, "uncertain": report.uncertain, "failed": report.failed}
            failed, unread = report.failed, report.unread
        else:
            refuse_table(source, classifier.metadata.name, classifier.metadata.input)
            report = batch_predict(
                partial(classifier.predict_batch, pixel_range=255),
                source,
                output,
                rows_per_block=batch_size,
                skip_bad_rows=skip_bad_rows,
                pixel_range=pixel_range,
                resume_as=recorded_digest(classifier.path) if resume else None,
                **common,
            )
            amount, details = f"{report.rows:,} rows", _accuracy(report) + _skipped(report, output)
            counts = {"rows": report.rows, "errors": report.errors, "bad_rows": report.bad_rows}
        name, bound = classifier.metadata.name, classifier.provider
    if as_json:
        seconds = round(report.elapsed_s, 3)
        print_json({"output": output, **counts, "seconds": seconds, "model": name, "provider": bound})
    else:
        note(f"{amount} in {report.elapsed_s:.2f} s by {name} on {bound}{details} → {output}")
    for reason in failed.values():
        print_error(InputError(reason))
    if unread:
        raise InputError(f"{unread} pictures could not be read; the others are classified")


def _read_numbers(
    source: str,
    output: str,
    *,
    model: str | None,
    provider: str,
    threads: int | None,
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    from digits_edge.cli.read import print_numbers_report
    from digits_edge.runtime.batch.numbers import batch_read_pictures
    from digits_edge.runtime.reader.reader import Reader

    _check_csv(output, as_json=as_json)
    pictures = _pictures(source)
    if not pictures:
        raise UsageError(f"{source} is not a folder; --task numbers reads the pictures of a folder")
    with Reader(model, provider=provider, threads=threads) as reader:
        report = batch_read_pictures(
            reader,
            pictures,
            output,
            overwrite=overwrite,
            resume="none" if resume else None,
            on_resume=lambda done, partial: note(f"resumed after picture {done:,} of {partial}"),
            progress=progress("reading"),
        )
        print_numbers_report(report, output, reader, what="numbers", as_json=as_json)


def _check_csv(output: str, *, as_json: bool) -> None:
    from digits_edge.runtime.batch.output import STANDARD_STREAM

    if output.endswith(("/", os.sep)) or Path(output).is_dir():
        raise UsageError(f"{output} is a folder; pass a CSV file, or --engine ray to write a folder")
    if output.endswith(".parquet"):
        raise UsageError(f"{output}: the output is CSV; pass a name that ends in .csv, or --engine ray for Parquet")
    if as_json and output == STANDARD_STREAM:
        raise UsageError("--json and --output - both write to standard output; use an output file")


def _predict_with_ray(sources: tuple[str, ...], output: str, *, as_json: bool, **options: Any) -> None:
    from importlib.metadata import version  # deferred: the import takes 10 ms

    with needs_extra("cpu", "ray"):
        version("ray")  # the engine imports it later
        from digits_edge.runtime.batch.distributed import predict_with_ray
    if output == "-":
        raise UsageError("--engine ray writes a folder; pass a folder with --output")
    show("starting Ray")
    report = predict_with_ray(sources, output, listener=lambda done: show(f"classified {done:,}"), **options)
    manifest = report.manifest
    bad = [one.reason for record in manifest.records for one in record.bad]
    failed = [record.failed for record in manifest.records if record.failed]
    if as_json:
        seconds = round(report.elapsed_s, 3)
        counts = {"failed": len(failed), "done_before": report.done_before, **manifest.counts}
        print_json(
            {"output": output, **counts, "seconds": seconds, "model": manifest.model, "provider": manifest.provider}
        )
    else:
        note(_ray_summary(report, output))
    for reason in (*failed, *bad)[:_MAX_PRINTED_ERRORS]:
        print_error(InputError(reason))
    unread = [(len(bad), "row or picture", "rows or pictures"), (len(failed), "source", "sources")]
    if summary := " and ".join(f"{count:,} {one if count == 1 else many}" for count, one, many in unread if count):
        raise InputError(f"{summary} could not be read (see {output}/_manifest.json); the others are classified")


def _ray_summary(report: "RayReport", output: str) -> str:
    counts, manifest = report.manifest.counts, report.manifest
    before = f" ({report.done_before:,} in earlier runs)" if report.done_before else ""
    workers = f"{report.actors} × " if report.actors else ""
    accuracy = f", {percent(1 - counts['errors'] / counts['labelled'])} accuracy" if counts.get("labelled") else ""
    return (
        f"{counts['answered']:,} images{before} in {report.elapsed_s:.1f} s by {workers}{manifest.model} "
        f"on {manifest.provider}{accuracy} → {output}"
    )


def _pictures(source: str) -> list[Path]:
    """Return the pictures of a folder; empty if the source is a table."""
    from digits_edge.runtime.batch.output import STANDARD_STREAM

    if source == STANDARD_STREAM or not Path(source).is_dir():
        return []
    from digits_edge.runtime.preprocessing.pictures import find_pictures  # imports Pillow, which tables do not need

    return find_pictures([source])


def _max_rows(source: str) -> int:
    """Return an upper bound of the rows of a CSV file; `FEW_IMAGES` if the file size does not give one."""
    from digits_edge.runtime.classifier import FEW_IMAGES
    from digits_edge.runtime.datasets.tables.kaggle_csv import MIN_ROW_BYTES

    path = Path(source)
    return path.stat().st_size // MIN_ROW_BYTES if path.is_file() and path.suffix.lower() == ".csv" else FEW_IMAGES


def _skipped(report: "BatchReport", output: str) -> str:
    """Return the number of skipped rows and where they are listed."""
    from digits_edge.runtime.batch.output import STANDARD_STREAM, errors_path

    if not report.bad_rows:
        return ""
    listed = "above" if output == STANDARD_STREAM else f"in {errors_path(Path(output))}"
    return f", {report.bad_rows:,} malformed rows skipped, listed {listed}"


def _accuracy(report: "BatchReport") -> str:
    """Return the accuracy if the rows have labels."""
    if report.errors is None or not report.rows:
        return ""
    return f", {percent(1 - report.errors / report.rows)} accuracy"
