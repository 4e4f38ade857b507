"""`digits-edge batch-predict`: a Kaggle CSV in, a submission CSV out."""

import click

from digits_edge.cli.options import (
    batch_size_option,
    json_option,
    model_option,
    output_option,
    overwrite_option,
    session_options,
)
from digits_edge.cli.output import note, percent, print_json, progress
from digits_edge.runtime.errors import UsageError


@click.command()
@click.argument("source", metavar="CSV")
@output_option("The submission CSV; - is standard output.")
@model_option
@session_options
@batch_size_option(128)
@overwrite_option
@json_option
def command(
    source: str,
    output: str,
    model: str | None,
    provider: str,
    threads: int | None,
    batch_size: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Answer every row of CSV (pixel0…pixel783, with or without label; plain or .gz; - is standard input).

    The rows are streamed, so memory does not grow with them; the output appears whole or not at all. As many batches
    are answered at once as there are --threads.
    """
    from digits_edge.runtime.batch import STANDARD_STREAM, batch_predict
    from digits_edge.runtime.classifier import Classifier
    from digits_edge.runtime.threads import available_threads

    if as_json and output == STANDARD_STREAM:
        raise UsageError("--json and --output - would mix on standard output; name a file")
    # batches side by side on a thread each: quicker than one batch on all of them
    with Classifier(model, provider=provider, threads=1) as classifier:
        report = batch_predict(
            classifier.predict_batch,
            source,
            output,
            rows_per_block=batch_size,
            workers=threads or available_threads(),
            overwrite=overwrite,
            progress=progress("predicting"),
        )
        name, bound = classifier.metadata.name, classifier.provider
    if as_json:
        print_json(
            {
                "output": output,
                "rows": report.rows,
                "errors": report.errors,
                "seconds": round(report.elapsed_s, 3),
                "model": name,
                "provider": bound,
            }
        )
        return
    counted = "" if report.errors is None or not report.rows else f", {percent(1 - report.errors / report.rows)} right"
    note(f"{report.rows:,} rows in {report.elapsed_s:.2f} s by {name} on {bound}{counted} → {output}")
