"""`digits-edge batch-predict`: a table or a folder of pictures in, a CSV out."""

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from digits_edge.cli.extras import needs_extra
from digits_edge.cli.options import (
    batch_size_option,
    json_option,
    model_option,
    output_option,
    overwrite_option,
    refuse_options,
    session_options,
)
from digits_edge.cli.output import note, percent, print_error, print_json, progress, show
from digits_edge.runtime.errors import InputError, UsageError

if TYPE_CHECKING:
    from digits_edge.runtime.batch.distributed import RayReport
    from digits_edge.runtime.batch.pictures import PictureReport
    from digits_edge.runtime.batch.table import BatchReport

#: What only one of the engines takes.
_OF_LOCAL = ("on_error", "resume")
_OF_RAY = ("address", "file_format")
#: Of what could not be answered, so many are told; the manifest has all.
_MAX_TOLD = 10


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@output_option("The CSV to write, - is standard output; of --engine ray the folder.")
@model_option
@session_options
@batch_size_option(128)
@click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="Malformed rows: stop at the first, or leave them out and list them in OUTPUT.errors.csv.",
)
@click.option("--resume", is_flag=True, help="Go on where a run was cut, and keep what is done where this one is.")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="ray uses all processors of a machine or a cluster, and any file system.",
)
@click.option("--address", metavar="HOST:PORT", help="Of --engine ray: a cluster to join.  [default: starts Ray here]")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["parquet", "csv"]),
    default="parquet",
    show_default=True,
    help="Of --engine ray: of the answers' files.",
)
@overwrite_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    sources: tuple[str, ...],
    output: str,
    model: str | None,
    provider: str,
    threads: int | None,
    batch_size: int,
    on_error: str,
    resume: bool,
    engine: Literal["local", "ray"],
    address: str | None,
    file_format: Literal["parquet", "csv"],
    overwrite: bool,
    as_json: bool,
) -> None:
    """Answer every row of a table, or every picture of a folder.

    SOURCE is a CSV (pixel0…pixel783, with or without label; plain or .gz; - is standard input) or a .parquet of the
    same columns, and becomes ImageId,Label; or a folder of pictures, which becomes File,Label,Confidence,Status.

    Rows and pictures are streamed, so memory does not grow with them; the output appears whole or not at all. As many
    batches are answered, or pictures opened, at once as there are --threads. A picture that cannot be read has the
    status error, and the exit code is 4.

    With --resume answers grow in OUTPUT.partial, synced every second; give it again after a cut, or from the start of
    what may be cut.

    With --engine ray there may be many SOURCEs: files, folders with all below them, and globs, here or at s3://, gs://
    and the like. OUTPUT is a folder of Parquet or CSV files with File, ImageId (of rows), Label, Confidence and Status
    (of pictures), and _manifest.json, which names what could not be answered; the exit code is 4 then. The same command
    again completes what is missing. --threads is the number of classifiers.
    """
    if engine == "ray":
        refuse_options(context, _OF_LOCAL, "with --engine local")
        _with_ray(
            sources,
            output,
            model=model,
            provider=provider,
            actors=threads,
            address=address,
            batch_size=batch_size,
            file_format=file_format,
            overwrite=overwrite,
            as_json=as_json,
        )
        return
    refuse_options(context, _OF_RAY, "with --engine ray")
    if len(sources) > 1:
        raise UsageError(f"{len(sources)} sources are for --engine ray; name one")
    source = sources[0]
    from digits_edge.runtime.batch.output import STANDARD_STREAM
    from digits_edge.runtime.batch.table import batch_predict
    from digits_edge.runtime.classifier import Classifier
    from digits_edge.runtime.model.model_file import recorded_digest
    from digits_edge.runtime.session.threads import available_threads

    if as_json and output == STANDARD_STREAM:
        raise UsageError("--json and --output - would mix on standard output; name a file")
    workers = threads or available_threads()
    how: dict[str, Any] = {"workers": workers, "overwrite": overwrite, "progress": progress("predicting")}
    report: BatchReport | PictureReport
    pictures = _pictures(source)
    failed, unread = dict[str, str](), 0
    # batches side by side on a thread each: quicker than one batch on all of them
    with Classifier(model, provider=provider, threads=1, images=len(pictures) or _most_rows(source)) as classifier:
        if pictures:
            from digits_edge.runtime.batch.pictures import batch_predict_pictures

            report = batch_predict_pictures(
                classifier, pictures, output, pictures_per_block=batch_size, resume=resume, **how
            )
            said = f"{report.pictures:,} pictures", f", {report.blank:,} blank, {report.uncertain:,} uncertain"
            counts: dict[str, Any] = {"pictures": report.pictures, "blank": report.blank}
            counts |= {"uncertain": report.uncertain, "failed": report.failed}
            failed, unread = report.failed, report.unread
        else:
            report = batch_predict(
                classifier.predict_batch,
                source,
                output,
                rows_per_block=batch_size,
                skip_bad_rows=on_error == "skip",
                resume_as=recorded_digest(classifier.path) if resume else None,
                **how,
            )
            said = f"{report.rows:,} rows", _right(report) + _left_out(report, output)
            counts = {"rows": report.rows, "errors": report.errors, "bad_rows": report.bad_rows}
        name, bound = classifier.metadata.name, classifier.provider
    if as_json:
        seconds = round(report.elapsed_s, 3)
        print_json({"output": output, **counts, "seconds": seconds, "model": name, "provider": bound})
    else:
        what, found = said
        note(f"{what} in {report.elapsed_s:.2f} s by {name} on {bound}{found} → {output}")
    for reason in failed.values():
        print_error(InputError(reason))
    if unread:
        raise InputError(f"{unread} pictures could not be read; the others are answered")


def _with_ray(sources: tuple[str, ...], output: str, *, as_json: bool, **how: Any) -> None:
    with needs_extra("cpu,ray"):
        version("ray")  # the engine imports it later
        from digits_edge.runtime.batch.distributed import predict_with_ray
    if output == "-":
        raise UsageError("--engine ray writes a folder; name one")
    show("starting Ray")
    report = predict_with_ray(sources, output, listener=lambda done: show(f"answered {done:,}"), **how)
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
        note(_told(report, output))
    for reason in (*failed, *bad)[:_MAX_TOLD]:
        print_error(InputError(reason))
    unread = [(len(bad), "row or picture", "rows or pictures"), (len(failed), "source", "sources")]
    if said := " and ".join(f"{count:,} {one if count == 1 else many}" for count, one, many in unread if count):
        raise InputError(f"{said} could not be read, as {output}/_manifest.json tells; the others are answered")


def _told(report: "RayReport", output: str) -> str:
    counts, manifest = report.manifest.counts, report.manifest
    before = f", {report.done_before:,} rows or pictures earlier," if report.done_before else ""
    by = f"{report.actors} × " if report.actors else ""
    right = f", {percent(1 - counts['errors'] / counts['labelled'])} right" if counts.get("labelled") else ""
    return (
        f"{counts['answered']:,} answered{before} in {report.elapsed_s:.1f} s by {by}{manifest.model} "
        f"on {manifest.provider}{right} → {output}"
    )


def _pictures(source: str) -> list[Path]:
    """The pictures of a folder; none where the source is a table."""
    from digits_edge.runtime.batch.output import STANDARD_STREAM

    if source == STANDARD_STREAM or not Path(source).is_dir():
        return []
    from digits_edge.runtime.preprocessing.pictures import find_pictures  # and Pillow, which a table does without

    return find_pictures([source])


def _most_rows(source: str) -> int:
    """How many a CSV has at most; many if its size does not tell."""
    from digits_edge.runtime.classifier import FEW_IMAGES
    from digits_edge.runtime.datasets.kaggle_csv import MIN_ROW_BYTES

    path = Path(source)
    return path.stat().st_size // MIN_ROW_BYTES if path.is_file() and path.suffix.lower() == ".csv" else FEW_IMAGES


def _left_out(report: "BatchReport", output: str) -> str:
    """How many rows were malformed, and where they are listed."""
    from digits_edge.runtime.batch.output import STANDARD_STREAM, errors_path

    if not report.bad_rows:
        return ""
    listed = "above" if output == STANDARD_STREAM else f"in {errors_path(Path(output))}"
    return f", {report.bad_rows:,} malformed and left out, listed {listed}"


def _right(report: "BatchReport") -> str:
    """The share of right answers, where that can be told."""
    if report.errors is None or not report.rows:
        return ""
    return f", {percent(1 - report.errors / report.rows)} right"
