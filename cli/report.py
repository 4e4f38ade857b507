"""`digits-edge report`: what is in a data set, as a page with pictures or as JSON."""

from dataclasses import asdict

import click

from digits_edge.cli.extras import needs_extra
from digits_edge.cli.options import file_path, json_option, output_option, overwrite_option
from digits_edge.cli.output import percent, print_json, print_table, progress, say, show
from digits_edge.runtime.files import refuse_existing

PAGE = "report.html"


@click.command()
@click.argument("data", metavar="[DATA]", required=False)
@output_option(f"The page.  [default: {PAGE}; with --json no page, unless named]", required=False)
@overwrite_option
@json_option
def command(data: str | None, output: str | None, overwrite: bool, as_json: bool) -> None:
    """Describe DATA on one HTML page: values, labels, samples, pixels, duplicates, what train and test share.

    DATA is what --data is elsewhere: mnist (the default), fashion-mnist, kaggle, a folder or file of one data set, or
    a folder that holds sets by name. Both splits are described where there are both. Of a CSV or .npz with missing or
    out-of-range values the faults are counted and the sound rows described.
    """
    target = file_path(output or PAGE) if output or not as_json else None
    if target:
        refuse_existing(target, overwrite=overwrite)
    with needs_extra("train"):
        from digits_edge.train.data.reading import read_splits
        from digits_edge.train.data.report import describe

        if target:
            from digits_edge.train.report.data_page import data_page
            from digits_edge.train.report.page import write_page
    show("reading")
    readings = read_splits(data, downloading=progress("downloading"), reading=progress("reading row by row"))
    show("counting")
    report = describe(readings, progress("comparing train and test"))
    if target:
        show("drawing")
        write_page(target, data_page(report, readings))
    if as_json:
        print_json({**asdict(report), "page": target and str(target)})
        return
    print_table(
        [report.name, "images", "broken rows", "duplicates", "mean level", "zero pixels"],
        [
            [
                split.split,
                f"{split.images:,}",
                f"{split.account.broken_rows:,}",
                f"{split.repeats.surplus:,}",
                f"{split.pixels.raw.mean:.1f}",
                percent(split.pixels.zero_share, 1),
            ]
            for split in report.splits
        ],
    )
    if found := report.leakage:
        say(
            f"of {found.searched:,} test images {found.near:,} have a near training image "
            f"(at most {found.near_up_to:g} grey levels away), {found.identical:,} the very same"
        )
    say(f"{target}: the whole report")
