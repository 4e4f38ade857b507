"""`digits-edge tune`: data and a budget in, the best recipe of a search out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from digits_edge.cli.extras import needs_extra
from digits_edge.cli.options import data_option, file_path, json_option, output_option, overwrite_option
from digits_edge.cli.output import note, percent, print_json, print_table, progress, say, show
from digits_edge.train.charts.units import setting_text

if TYPE_CHECKING:
    from digits_edge.train import Trial

_TRIALS = 10


@click.command()
@click.argument("name")
@output_option("The folder of the search.  [default: runs/tune-NAME]", required=False)
@data_option
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Trials in all, finished ones included.  [default: {_TRIALS}; without limit if --minutes is given]",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    metavar="M",
    help="Begin no trial after M minutes of training in all; the one under way is finished.",
)
@click.option("--epochs", type=click.IntRange(min=1), default=5, show_default=True, help="Of each trial.")
@click.option(
    "--images", type=click.IntRange(min=1), metavar="N", help="Search with N of the training images only, for speed."
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Images per step.")
@click.option(
    "--dtype-policy",
    type=click.Choice(["float32", "mixed_bfloat16", "mixed_float16"]),
    help="mixed_bfloat16 is faster on CPUs that have it.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Of the search and of every training.")
@click.option("--resume", is_flag=True, help="Go on with the search in the folder.")
@overwrite_option
@json_option
def command(
    name: str,
    output: str | None,
    data: str | None,
    trials: int | None,
    minutes: float | None,
    epochs: int,
    images: int | None,
    resume: bool,
    overwrite: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Search the best widths, dropout, optimizer and learning rate of the model NAME.

    NAME is perceptron, mlp, mlp-dropout, mlp-wide, cnn-small, cnn, resnet, kaggle-cnn or edge. The
    search begins with our best recipe of that model, and goes on with Keras Tuner's Bayesian optimization; the
    objective is the validation accuracy, and the test set is not looked at.

    The folder gets best.json, a recipe with its full epochs that `digits-edge train --recipe` takes; trials.csv;
    tuning.html, the page to look at; and a run folder for each trial. A search that was cut goes on with --resume,
    which also takes more --trials or --minutes.
    """
    with needs_extra("train"):
        from digits_edge.train import Budget, Listeners, named_recipe, tune
    from digits_edge.runtime.datasets import load

    named_recipe("best", name)  # an unknown name is said before the data is fetched
    dataset = load("mnist", split="train", data=data, progress=progress("downloading"))
    changed = {setting: value for setting, value in settings.items() if value is not None}
    recipe = named_recipe("best", name, data=dataset.name, **changed)
    folder = Path("runs") / f"tune-{name}" if output is None else file_path(output)
    if trials is None and minutes is None:
        trials = _TRIALS
    told = _Display(trials, epochs)
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
            listeners=Listeners(told.begin, told.step, told.end),
        )
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(f"{folder} keeps all finished trials, and the same command with --resume goes on")
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
    _say_trials(tuning.trials, best["trial"])
    say(
        f"{folder}: trial {best['trial']} is the best, validation {percent(best['validation_accuracy'])} right; "
        f"tuning.html shows the search, and this trains it for {tuning.best['recipe']['epochs']} epochs:"
    )
    say(f"digits-edge train --recipe {folder / 'best.json'}{f' --data {data}' if data is not None else ''}")


def _figures(trial: "Trial") -> dict[str, Any]:
    return {
        "validation_accuracy": trial.accuracy,
        "validation_loss": trial.loss,
        "seconds": trial.seconds,
        "failure": trial.failure or None,
    }


def _say_trials(trials: "list[Trial]", best: int) -> None:
    rows = []
    for trial in trials:
        settings = [setting_text(value) for value in trial.settings.values()]
        figures = ["diverged", ""] if trial.accuracy is None else [percent(trial.accuracy), f"{trial.loss:.4f}"]
        rows.append(
            [f"{trial.number}{' *' if trial.number == best else ''}", *settings, *figures, f"{trial.seconds:.0f}"]
        )
    print_table(["trial", *trials[0].settings, "right", "loss", "s"], rows)


class _Display:
    """A bar within each epoch on a terminal, a line after each trial everywhere."""

    def __init__(self, trials: int | None, epochs: int) -> None:
        self._of = "" if trials is None else f"/{trials}"
        self._epochs = epochs
        self._trial = ""
        self._bar = progress("")
        self._has_doubted = False

    def begin(self, number: int, best: "Trial | None") -> None:
        so_far = "" if best is None or best.accuracy is None else f", best so far {percent(best.accuracy)}"
        self._trial = f"trial {number}{self._of}{so_far}"
        show(self._trial)

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        if step == 1:
            self._doubt(steps * self._epochs)
            self._bar = progress(f"{self._trial}, epoch {epoch + 1}/{self._epochs}")
        self._bar(step, steps)

    def _doubt(self, steps: int) -> None:
        from digits_edge.train import ENOUGH_STEPS

        if steps < ENOUGH_STEPS and not self._has_doubted:
            note(f"a trial has {steps} steps; below {ENOUGH_STEPS} its figures tell little: more --epochs or --images")
            self._has_doubted = True

    def end(self, trial: "Trial", best: "Trial | None") -> None:
        settings = ", ".join(f"{name} {setting_text(value)}" for name, value in trial.settings.items())
        came_to = "diverged" if trial.accuracy is None else f"validation {percent(trial.accuracy)} right"
        is_best = " (best so far)" if best is not None and best.number == trial.number else ""
        note(f"trial {trial.number}{self._of}: {came_to}{is_best}, {trial.seconds:.0f} s; {settings}")
