"""The `digits-edge report` command."""

from dataclasses import asdict

import click

from digits_edge.cli.data_options import PictureOptions, picture_options
from digits_edge.cli.extras import needs_extra
from digits_edge.cli.options import examples, file_path, json_option, output_option, overwrite_option
from digits_edge.cli.output import percent, print_json, print_table, progress, say, show
from digits_edge.runtime.files import refuse_existing

PAGE = "report.html"


@click.command(epilog=examples("digits-edge report mnist", "digits-edge report pictures/ --input 32x32x3 -o p.html"))
@click.argument("data", metavar="[DATA]", required=False)
@picture_options
@output_option(f"HTML page.  [default: {PAGE}; with --json no page]", required=False)
@overwrite_option
@json_option
def command(data: str | None, pictures: PictureOptions, output: str | None, overwrite: bool, as_json: bool) -> None:
    """Create a data report for a data set.

    DATA is mnist (the default), fashion-mnist, kaggle, or the path of a data file or folder. In a folder of pictures,
    each sub-folder is a class. The HTML page shows values, class distribution, samples, pixel statistics, duplicates,
    and the overlap of the training and test split. In a CSV or .npz file with missing or out-of-range values, the
    faults are counted and the valid rows described.
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
    readings = read_splits(
        data, options=pictures.reading(), downloading=progress("downloading"), reading=progress("reading")
    )
    pictures.note_skipped()
    show("computing statistics")
    report = describe(readings, progress("comparing train and test"))
    if target:
        show("rendering the page")
        write_page(target, data_page(report, readings))
    if as_json:
        print_json({**asdict(report), "page": target and str(target)})
        return
    print_table(
        [report.name, "images", "invalid rows", "duplicates", "mean pixel", "zero pixels"],
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
            f"{found.near:,} of {found.searched:,} test images have a near-duplicate in the training images "
            f"(distance at most {found.near_up_to:g} grey levels), {found.identical:,} an exact duplicate"
        )
    say(f"wrote {target}")
