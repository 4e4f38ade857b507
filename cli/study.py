"""One of the documents' studies, for `digits-edge compare --study`: trained, summed up, drawn."""

from collections.abc import Sequence
from pathlib import Path

from digits_edge.cli.extras import needs_extra
from digits_edge.cli.output import note, print_json, print_table, progress
from digits_edge.runtime.datasets import load


def run_study(
    name: str,
    data: str | None,
    epochs: int | None,
    seeds: Sequence[int],
    folder: Path,
    page: Path | None,
    as_json: bool,
) -> None:
    """Conduct a study and print what came of it.

    Args:
        name: of the study.
        data: what stands after `--data`.
        epochs: of each training; None for the study's own.
        seeds: each variant is trained with each.
        folder: gets the run folders.
        page: where the page goes, if anywhere.
        as_json: print an object for each variant instead of a table.

    Raises:
        UsageError: there is no such study, or the folder holds runs of other data.
    """
    with needs_extra("train"):
        from digits_edge.train.search.studies import study as study_named
    study = study_named(name, epochs=epochs)
    with needs_extra("train"):
        from digits_edge.train.report.page import write_page
        from digits_edge.train.report.study_page import head_of, row_of, study_page
        from digits_edge.train.search.study_runs import conduct
    dataset = load(split="train", data=data, progress=progress("downloading"))
    bar = _Progress(study.variants[0].recipe.epochs)
    try:
        outcomes = conduct(study, dataset, folder, seeds, on_run=bar.run, on_step=bar.step, on_part=bar.part)
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(f"{folder} keeps all finished epochs, and the same command goes on")
        raise
    if as_json:
        for outcome in outcomes:
            print_json({"study": name, "data": dataset.name, **outcome.to_json()})
    else:
        print_table(head_of(study), [row_of(outcome) for outcome in outcomes])
        note(f"validation accuracy; {outcomes[0].images:,} images that no training saw")
    if page is not None:
        write_page(page, study_page(study, outcomes, data=dataset.name))
        note(f"{page} has the table and pictures")


class _Progress:
    """A line for each run, and on a terminal a bar within it."""

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
