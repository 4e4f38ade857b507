"""HTML page of a hyperparameter search."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from digits_edge.runtime.checks.accuracy import Accuracy
from digits_edge.train.charts.drawing import PALETTE, as_svg, new_figure, quiet_axes
from digits_edge.train.charts.log_axis import log_axis
from digits_edge.train.charts.units import count_text, duration_text, error_percent, setting_text
from digits_edge.train.report.page import Facts, Picture, Section, Table, Text, render_page
from digits_edge.train.search.search_folder import BEST, Trial
from digits_edge.train.search.search_space import ENOUGH_STEPS

_ERRORS = "validation error rate, %"
_MARKERS = "osD^vP"
_ABOUT_SETTINGS = (
    "Validation error rate of every trial by setting; the best trial has a ring. Trials differ in several settings at "
    "once, and later trials concentrate near good ones, so the charts show correlations and not effects."
)


def tuning_page(best: dict[str, Any], trials: Sequence[Trial]) -> str:
    """Render the page as HTML.

    Args:
        best: content of `best.json`.
        trials: all finished trials, at least one of which did not diverge.
    """
    recipe, search = best["recipe"], best["search"]
    images = search["validation_images"]
    scored = [trial for trial in trials if trial.accuracy is not None]
    winner = next(trial for trial in scored if trial.number == search["trial"])
    subtitle = (
        f"{best['data']['name']}: {search['images']:,} images, {images:,} of them for validation; "
        f"{count_text(len(trials), 'trial')} of {count_text(search['epochs'], 'epoch')}"
    )
    sections = [
        Section("Result", _result(best, scored, winner)),
        Section("Trials", [_picture_of_trials(scored, winner, images), _table(trials, winner, images)]),
        Section("Settings", [Text(_ABOUT_SETTINGS), *_pictures_of_settings(scored, winner, images)]),
    ]
    return render_page(f"Tuning of {recipe['model']}", subtitle, sections)


def _result(best: dict[str, Any], scored: Sequence[Trial], winner: Trial) -> list[Facts | Text]:
    search = best["search"]
    images = search["validation_images"]
    accuracy = _accuracy(winner, images)
    low, high = accuracy.interval()
    similar = sum(_accuracy(trial, images).value >= low for trial in scored) - 1
    facts = [
        ("Best trial", f"{winner.number} of {search['trials']}"),
        ("Validation accuracy", f"{100 * accuracy.value:.2f} %"),
        ("Errors", f"{accuracy.errors:,} of {images:,}"),
        ("95 % interval", f"{100 * low:.2f} to {100 * high:.2f} %"),
        ("Training time", duration_text(search["seconds"])),
    ]
    if scored[0].number == 1:
        facts.append(("Original recipe", f"{100 * _accuracy(scored[0], images).value:.2f} %"))
    settings = ", ".join(f"{_spaced(name)} {setting_text(value)}" for name, value in winner.settings.items())
    texts = [
        f"Best settings: {settings}.",
        f"{BEST} contains them as a recipe with {count_text(best['recipe']['epochs'], 'epoch')}. "
        f"Train it with digits-edge train --recipe {BEST}.",
        f"Other trials within the interval of the best trial: {similar}. Differences within the interval may be "
        "chance. The accuracy of the best trial is slightly optimistic, because it is selected on the same images. The "
        "test set was not used.",
    ]
    if search["steps"] < ENOUGH_STEPS:
        texts.insert(
            0,
            f"Each trial had {count_text(search['steps'], 'step')}. With fewer than {ENOUGH_STEPS} steps, the order of "
            "the trials is mostly chance.",
        )
    return [Facts(facts), *map(Text, texts)]


def _table(trials: Sequence[Trial], winner: Trial, images: int) -> Table:
    rows = []
    for trial in trials:
        if trial.accuracy is None:
            figures = ["diverged", "", ""]
        else:
            accuracy = _accuracy(trial, images)
            figures = [f"{100 * accuracy.value:.2f}", str(accuracy.errors), f"{trial.loss:.4f}"]
        number = f"{trial.number} *" if trial == winner else str(trial.number)
        rows.append([number, *map(setting_text, trial.settings.values()), *figures, f"{trial.seconds:.0f}"])
    head = ["trial", *map(_spaced, winner.settings), "accuracy, %", "errors", "loss", "s"]
    return Table(head, rows, caption=f"* is the best trial. Accuracy, errors and loss of {images:,} validation images.")


def _picture_of_trials(scored: Sequence[Trial], winner: Trial, images: int) -> Picture:
    figure = new_figure(3.6)
    axes = figure.subplots()
    numbers, errors = [trial.number for trial in scored], [_percent(trial, images) for trial in scored]
    best_so_far = [min(errors[: place + 1]) for place in range(len(errors))]
    axes.step(numbers, best_so_far, where="post", color=PALETTE[1], label="best so far")
    axes.plot(numbers, errors, "o", color=PALETTE[0], label="trial")
    _ring(axes, winner.number, _percent(winner, images))
    _error_axes(axes, "trial", errors)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.margins(x=0.08)
    axes.legend()
    caption = "Lower is better. Trial 1 is the original recipe; trials 2 to 5 are random."
    return Picture(as_svg(figure), "Validation error rate per trial, and the best so far", caption)


def _pictures_of_settings(scored: Sequence[Trial], winner: Trial, images: int) -> list[Picture]:
    pictures = []
    for name in winner.settings:
        figure = new_figure(3.2)
        axes = figure.subplots()
        for group, place in _groups(scored, name):
            values = [trial.settings[name] for trial in group]
            label = str(group[0].settings["optimizer"]) if name == "learning_rate" else None
            errors = [_percent(trial, images) for trial in group]
            axes.plot(values, errors, _MARKERS[place], color=PALETTE[place], alpha=0.8, label=label)
        _ring(axes, winner.settings[name], _percent(winner, images))
        _error_axes(axes, _spaced(name), [_percent(trial, images) for trial in scored])
        axes.margins(x=0.08)
        if name == "learning_rate":
            rates = [trial.settings[name] for trial in scored]
            log_axis(axes, "x", min(rates) / 1.3, max(rates) * 1.3, setting_text)
            axes.legend(title="optimizer", fontsize="small", title_fontsize="small")
        elif isinstance(winner.settings[name], int):
            axes.set_xticks(sorted({trial.settings[name] for trial in scored}))
        pictures.append(Picture(as_svg(figure), f"Validation error rate by {_spaced(name)}"))
    return pictures


def _groups(scored: Sequence[Trial], name: str) -> list[tuple[list[Trial], int]]:
    """Group the trials by marker: by optimizer for the learning rate, else all together."""
    if name != "learning_rate":
        return [(list(scored), 0)]
    optimizers = sorted({str(trial.settings["optimizer"]) for trial in scored})
    return [([t for t in scored if t.settings["optimizer"] == used], place) for place, used in enumerate(optimizers)]


def _error_axes(axes: Axes, x: str, errors: Sequence[float]) -> None:
    quiet_axes(axes, x=x, y=_ERRORS)
    log_axis(axes, "y", min(errors) / 1.2, max(errors) * 1.2, setting_text)


def _ring(axes: Axes, x: Any, y: float) -> None:
    axes.plot([x], [y], "o", markersize=13, markerfacecolor="none", markeredgewidth=1.8, color=PALETTE[1])


def _accuracy(trial: Trial, images: int) -> Accuracy:
    return Accuracy(round((1 - (trial.accuracy or 0.0)) * images), images)


def _percent(trial: Trial, images: int) -> float:
    return error_percent(_accuracy(trial, images).errors, images)


def _spaced(name: str) -> str:
    return name.replace("_", " ")
