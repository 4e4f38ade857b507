"""Training curves: errors, loss and learning rate per epoch."""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from digits_edge.runtime.files import atomic_write
from digits_edge.train.charts.drawing import PALETTE, as_png, new_figure, quiet_axes
from digits_edge.train.charts.log_axis import log_axis
from digits_edge.train.charts.units import error_percent

_TRAINING, _VALIDATION, _RATE = PALETTE[:3]
_MIN_LOSS = 1e-6

#: A row per epoch with `epoch`, `accuracy`, `loss`, `val_accuracy`, `val_loss` and `learning_rate`.
History = Sequence[dict[str, float]]


def draw_curves(history: History, kept: dict[str, float], path: Path) -> None:
    """Draw the history of a run as one wide PNG file, written atomically.

    Args:
        history: a row per epoch.
        kept: row of the selected epoch, whose weights are stored.
        path: output file.
    """
    figure = new_figure(3.6, 12)
    for axes, draw in zip(figure.subplots(1, len(CURVES)), CURVES.values(), strict=True):
        draw(axes, history, kept)
    with atomic_write(path) as stream:
        stream.write(as_png(figure, dpi=110))


def curve_figures(history: History, kept: dict[str, float]) -> dict[str, Figure]:
    """Draw each curve as a separate figure, by name: "errors", "loss", "learning rate"."""
    figures = {}
    for name, draw in CURVES.items():
        figures[name] = new_figure()
        draw(figures[name].subplots(), history, kept)
    return figures


def _draw_errors(axes: Axes, history: History, kept: dict[str, float]) -> None:
    _draw_both(axes, history, kept, _error_percent)
    quiet_axes(axes, title="Errors, % (100 % − accuracy)", x="epoch")


def _draw_loss(axes: Axes, history: History, kept: dict[str, float]) -> None:
    _draw_both(axes, history, kept, _loss)
    quiet_axes(axes, title="Loss", x="epoch")


def _draw_rate(axes: Axes, history: History, kept: dict[str, float]) -> None:
    rates = [row["learning_rate"] for row in history]
    axes.plot([row["epoch"] for row in history], rates, color=_RATE, marker=".")
    axes.set_ylim(0, 1.08 * max(rates) or 1)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    quiet_axes(axes, title="Learning rate at the end of the epoch", x="epoch")


#: Charts of a history by name, in this order.
CURVES: dict[str, Callable[[Axes, History, dict[str, float]], None]] = {
    "errors": _draw_errors,
    "loss": _draw_loss,
    "learning rate": _draw_rate,
}


def _draw_both(
    axes: Axes, history: History, kept: dict[str, float], value: Callable[[dict[str, float], str], float]
) -> None:
    epochs = [row["epoch"] for row in history]
    axes.plot(epochs, [value(row, "") for row in history], color=_TRAINING, marker=".", label="training")
    axes.plot(epochs, [value(row, "val_") for row in history], color=_VALIDATION, marker=".", label="validation")
    label = f"selected: {value(kept, 'val_'):.3g} in epoch {kept['epoch']:.0f}"
    axes.plot(kept["epoch"], value(kept, "val_"), "o", markerfacecolor="none", color=_VALIDATION, label=label)
    values = [value(row, kind) for row in history for kind in ("", "val_")]
    # logarithmic, because the first values are about ten times the last
    log_axis(axes, "y", min(values) / 1.15, max(values) * 1.15, "{:g}".format)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend()


def _error_percent(row: dict[str, float], kind: str) -> float:
    # a history does not record the number of images
    return error_percent(10_000 * (1 - row[f"{kind}accuracy"]), 10_000)


def _loss(row: dict[str, float], kind: str) -> float:
    # the loss can reach 0 on a small and easy data set
    return max(row[f"{kind}loss"], _MIN_LOSS)
