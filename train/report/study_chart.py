"""Charts of a study: error rate by hyperparameter, and training curves of the variants."""

import statistics
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from digits_edge.train.charts.drawing import AMOUNTS, PALETTE, new_figure, quiet_axes
from digits_edge.train.charts.log_axis import log_axis
from digits_edge.train.charts.units import error_percent, percent_text
from digits_edge.train.search.studies import Study
from digits_edge.train.search.study_runs import Outcome

#: Markers distinguish curves in addition to colours.
_MARKERS = ("o", "s", "^", "D", "v", "P")


def draw_effect(study: Study, outcomes: Sequence[Outcome]) -> Figure:
    """Draw the validation error by hyperparameter: mean, 95 % interval, and a dot per seed."""
    figure = new_figure()
    axes = figure.subplots()
    quiet_axes(axes, x=study.title.lower(), y="validation error rate, %")
    places = [i if o.variant.value is None else o.variant.value for i, o in enumerate(outcomes)]
    means = [100 * (1 - outcome.mean) for outcome in outcomes]
    lows, highs = zip(*(outcome.interval for outcome in outcomes), strict=True)
    below = [mean - 100 * (1 - high) for mean, high in zip(means, highs, strict=True)]
    above = [100 * (1 - low) - mean for mean, low in zip(means, lows, strict=True)]
    axes.errorbar(
        places,
        means,
        yerr=[[max(0.0, value) for value in below], [max(0.0, value) for value in above]],
        color=PALETTE[0],
        ecolor="0.6",
        marker="o",
        capsize=3,
        linestyle="none" if study.scale == "names" else "-",
        zorder=3,
    )
    if len(outcomes[0].accuracies) > 1:
        for place, outcome in zip(places, outcomes, strict=True):
            errors = [100 * (1 - accuracy) for accuracy in outcome.accuracies]
            axes.plot([place] * len(errors), errors, "o", color=PALETTE[1], markersize=3.5, zorder=4)
    _value_axis(axes, study, places, [outcome.variant.label for outcome in outcomes])
    axes.set_ylim(bottom=0)
    return figure


def draw_curves_of(study: Study, outcomes: Sequence[Outcome], column: str) -> Figure:
    """Draw a column of the history per epoch for every variant, as mean over the seeds; accuracies as error rates."""
    figure = new_figure()
    axes = figure.subplots()
    quiet_axes(axes, x="epoch", y=name_of(column))
    curves = [_curve(outcome, column) for outcome in outcomes]
    for index, (outcome, curve) in enumerate(zip(outcomes, curves, strict=True)):
        axes.plot(
            range(1, len(curve) + 1),
            curve,
            color=_colour(index, len(outcomes), ordered=study.scale != "names"),
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=4,
            label=outcome.variant.label,
        )
    values = [value for curve in curves for value in curve]
    text = percent_text if "accuracy" in column else _plain_text
    log_axis(axes, "y", min(values) / 1.15, max(values) * 1.15, text)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(outcomes) > 1:
        axes.legend(title=study.title.lower(), title_fontsize=8, fontsize=8, ncols=2)
    return figure


def name_of(column: str) -> str:
    """Return the name of a history column in charts.

    Example:
        >>> name_of("val_accuracy"), name_of("loss")
        ('validation error rate', 'training loss')
    """
    metric = "error rate" if "accuracy" in column else "loss"
    return f"{'validation' if column.startswith('val_') else 'training'} {metric}"


def _curve(outcome: Outcome, column: str) -> list[float]:
    epochs = zip(*([row[column] for row in history] for history in outcome.histories), strict=True)
    means = [statistics.mean(values) for values in epochs]
    if "accuracy" in column:
        return [error_percent((1 - mean) * outcome.images, outcome.images) for mean in means]
    return [max(mean, 1e-6) for mean in means]


def _colour(index: int, count: int, *, ordered: bool) -> str:
    """Return a colour of the sequential map for ordered variants, else of the palette."""
    if not ordered:
        return PALETTE[index % len(PALETTE)]
    # the light end of the map has too little contrast to white
    return mpl.colors.to_hex(mpl.colormaps[AMOUNTS](0.88 * index / max(1, count - 1)))


def _value_axis(axes: Axes, study: Study, places: Sequence[float], labels: Sequence[str]) -> None:
    """Set a tick at every value of the hyperparameter."""
    if study.scale == "log":
        axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(places))
    axes.xaxis.set_minor_locator(NullLocator())
    names = dict(zip(places, labels, strict=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: names.get(value, "")))


def _plain_text(value: float) -> str:
    return f"{value:.3g}"
