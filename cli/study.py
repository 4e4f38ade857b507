"""The `--study` mode of `digits-edge compare`, which trains the variants of a hyperparameter."""

from collections.abc import Sequence
from pathlib import Path

from digits_edge.cli.data_options import PictureOptions
from digits_edge.cli.extras import needs_extra
from digits_edge.cli.output import note, print_json, print_table, progress


def run_study(
    name: str,
    data: str | None,
    pictures: PictureOptions,
    epochs: int | None,
    seeds: Sequence[int],
    folder: Path,
    page: Path | None,
    as_json: bool,
) -> None:
    """Run a study and print its results.

    Args:
        name: name of the study.
        data: value of `--data`.
        pictures: how the images are read.
        epochs: epochs of each training; None for the default of the study.
        seeds: random seeds; every variant is trained with each of them.
        folder: output folder for the runs.
        page: output HTML page; None for no page.
        as_json: print one JSON object per variant instead of a table.

    Raises:
        UsageError: the study is unknown, or the folder contains runs on other data.
    """
    with needs_extra("train"):
        from digits_edge.train.search.studies import study as study_named
    study = study_named(name, epochs=epochs)
    with needs_extra("train"):
        from digits_edge.train.report.page import write_page
        from digits_edge.train.report.study_page import head_of, row_of, study_page
        from digits_edge.train.search.study_runs import conduct
    dataset = pictures.load("mnist", "train", data)
    bar = _Progress(study.variants[0].recipe.epochs)
    try:
        outcomes = conduct(study, dataset, folder, seeds, on_run=bar.run, on_step=bar.step, on_part=bar.part)
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(f"finished epochs are stored in {folder}; repeat the command to resume")
        raise
    if as_json:
        for outcome in outcomes:
            print_json({"study": name, "data": dataset.name, **outcome.to_json()})
    else:
        print_table(head_of(study), [row_of(outcome) for outcome in outcomes])
        note(f"accuracy on {outcomes[0].images:,} validation images, which were not used in training")
    if page is not None:
        write_page(page, study_page(study, outcomes, data=dataset.name))
        note(f"wrote {page}")


class _Progress:
    """A line per run, and a progress bar within a run on a terminal."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._bar = progress("")

    def run(self, folder: Path, run: int, runs: int) -> None:
        note(f"run {run}/{runs}: {folder}")
        self._bar = progress(f"{folder.name}, {run}/{runs}")

    def part(self, part: str, epochs: int) -> None:
        note(part)
        self._epochs = epochs
        self._bar = progress(part)

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        self._bar(epoch * steps + step, self._epochs * steps)
