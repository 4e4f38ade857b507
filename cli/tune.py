"""The `digits-edge tune` command."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from digits_edge.cli.data_options import PictureOptions, picture_options
from digits_edge.cli.extras import needs_extra
from digits_edge.cli.options import (
    data_option,
    dtype_policy_option,
    examples,
    file_path,
    json_option,
    output_option,
    overwrite_option,
)
from digits_edge.cli.output import note, percent, print_json, print_table, progress, say, show
from digits_edge.runtime.errors import UsageError
from digits_edge.train.charts.units import setting_text

if TYPE_CHECKING:
    from digits_edge.train import Trial

_TRIALS = 10


@click.command(
    epilog=examples(
        "digits-edge tune cnn-small --trials 20 --images 10000",
        "digits-edge tune mlp --minutes 30 -o runs/search",
    )
)
@click.argument("name")
@output_option("Search folder.  [default: runs/tune-NAME]", required=False)
@data_option
@picture_options
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Number of trials, including finished ones.  [default: {_TRIALS}; no limit with --minutes]",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    metavar="M",
    help="Minutes of training after which no new trial begins; a running trial is completed.",
)
@click.option("--epochs", type=click.IntRange(min=1), default=5, show_default=True, help="Epochs of each trial.")
@click.option(
    "--images",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of training images to search with.  [default: all]",
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Images per step.")
@dtype_policy_option
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Seed of the search and its trainings.")
@click.option("--resume", is_flag=True, help="Continue the search in the folder.")
@overwrite_option
@json_option
def command(
    name: str,
    output: str | None,
    data: str | None,
    pictures: PictureOptions,
    trials: int | None,
    minutes: float | None,
    epochs: int,
    images: int | None,
    resume: bool,
    overwrite: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Search hyperparameters of a model.

    NAME is perceptron, mlp, mlp-dropout, mlp-wide, cnn-small, cnn, resnet, kaggle-cnn or edge. The hyperparameters are
    widths, dropout, optimizer and learning rate. The first trial is the best recipe of the model; Keras Tuner's
    Bayesian optimization chooses the others. The objective is the validation accuracy; the test set is not used.

    The search folder receives best.json, a recipe for `digits-edge train --recipe`; trials.csv; the HTML page
    tuning.html; and a run folder per trial. --resume continues an interrupted search, or a finished one with larger
    --trials or --minutes.
    """
    with needs_extra("train"):
        from digits_edge.train import Budget, Listeners, named_recipe, tune
    if named_recipe("best", name).lines is not None:  # also raises for an unknown name before data is downloaded
        raise UsageError(f"{name} reads lines of numbers and has no search; use `digits-edge train {name}`")
    dataset = pictures.load("mnist", "train", data)
    changes = {setting: value for setting, value in settings.items() if value is not None}
    recipe = named_recipe("best", name, data=dataset.name, image=dataset.image, **changes)
    folder = Path("runs") / f"tune-{name}" if output is None else file_path(output)
    if trials is None and minutes is None:
        trials = _TRIALS
    display = _Display(trials, epochs)
    try:
        tuning = tune(
            recipe,
            dataset,
            folder,
            budget=Budget(trials, minutes),
            epochs=epochs,
            images=images,
            resume=resume,
            overwrite=overwrite,
            listeners=Listeners(display.begin, display.step, display.end),
        )
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(f"finished trials are stored in {folder}; repeat the command with --resume to continue")
        raise
    with needs_extra("train"):
        from digits_edge.train.report.page import write_page
        from digits_edge.train.report.tuning_page import tuning_page
        from digits_edge.train.search.search_folder import PAGE

    write_page(folder / PAGE, tuning_page(tuning.best, tuning.trials))
    best = tuning.best["search"]
    if as_json:
        rows = [{"trial": t.number, **t.settings, **_figures(t)} for t in tuning.trials]
        print_json({"folder": str(folder), "best": tuning.best, "trials": rows})
        return
    _print_trials(tuning.trials, best["trial"])
    say(
        f"{folder}: best trial {best['trial']}, validation accuracy {percent(best['validation_accuracy'])}; "
        f"tuning.html shows the search. Train the recipe for {tuning.best['recipe']['epochs']} epochs with:"
    )
    say(f"digits-edge train --recipe {folder / 'best.json'}{f' --data {data}' if data is not None else ''}")


def _figures(trial: "Trial") -> dict[str, Any]:
    return {
        "validation_accuracy": trial.accuracy,
        "validation_loss": trial.loss,
        "seconds": trial.seconds,
        "failure": trial.failure or None,
    }


def _print_trials(trials: "list[Trial]", best: int) -> None:
    rows = []
    for trial in trials:
        settings = [setting_text(value) for value in trial.settings.values()]
        figures = ["diverged", ""] if trial.accuracy is None else [percent(trial.accuracy), f"{trial.loss:.4f}"]
        rows.append(
            [f"{trial.number}{' *' if trial.number == best else ''}", *settings, *figures, f"{trial.seconds:.0f}"]
        )
    print_table(["trial", *trials[0].settings, "accuracy", "loss", "s"], rows)


class _Display:
    """Progress of a search: on a terminal a bar per epoch, and always a line after each trial."""

    def __init__(self, trials: int | None, epochs: int) -> None:
        self._total = "" if trials is None else f"/{trials}"
        self._epochs = epochs
        self._trial = ""
        self._bar = progress("")
        self._has_warned = False

    def begin(self, number: int, best: "Trial | None") -> None:
        so_far = "" if best is None or best.accuracy is None else f", best so far {percent(best.accuracy)}"
        self._trial = f"trial {number}{self._total}{so_far}"
        show(self._trial)

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        if step == 1:
            self._warn_if_short(steps * self._epochs)
            self._bar = progress(f"{self._trial}, epoch {epoch + 1}/{self._epochs}")
        self._bar(step, steps)

    def _warn_if_short(self, steps: int) -> None:
        from digits_edge.train import ENOUGH_STEPS

        if steps < ENOUGH_STEPS and not self._has_warned:
            note(f"a trial has {steps} steps; below {ENOUGH_STEPS} results are unreliable: raise --epochs or --images")
            self._has_warned = True

    def end(self, trial: "Trial", best: "Trial | None") -> None:
        settings = ", ".join(f"{name} {setting_text(value)}" for name, value in trial.settings.items())
        result = "diverged" if trial.accuracy is None else f"validation accuracy {percent(trial.accuracy)}"
        is_best = " (best so far)" if best is not None and best.number == trial.number else ""
        note(f"trial {trial.number}{self._total}: {result}{is_best}, {trial.seconds:.0f} s; {settings}")
