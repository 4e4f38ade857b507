"""Charts of a model comparison: errors by size, and latencies."""

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from digits_edge.runtime.checks.accuracy import Accuracy
from digits_edge.train.charts.drawing import AMOUNTS, PALETTE, new_figure, quiet_axes
from digits_edge.train.charts.label_placing import LABEL_POINTS, label_points
from digits_edge.train.charts.log_axis import log_axis
from digits_edge.train.charts.units import error_percent, percent_text, size_text, time_text
from digits_edge.train.evaluation.comparison import ComparedModel

_MARKERS = {"onnx": "o", "keras": "s"}
_ENGINE_COLOURS = {"onnx": PALETTE[0], "keras": PALETTE[1]}


def draw_models(models: Sequence[ComparedModel]) -> Figure:
    """Draw every model by size (x), error rate with its 95 % interval (y) and latency (colour)."""
    figure = new_figure(height_inches=4.6 + 0.12 * len(models))
    axes = figure.subplots()
    quiet_axes(axes, x="file size", y="error rate")
    sizes = [model.size_bytes for model in models]
    errors = [error_percent(model.accuracy.errors, model.accuracy.images) for model in models]
    bars = [_error_bar(model.accuracy) for model in models]
    for x, (low, high) in zip(sizes, bars, strict=True):
        axes.plot([x, x], [low, high], color="0.6", linewidth=1.2, zorder=2)
    times = [model.single.median_us for model in models]
    shades = ScalarMappable(LogNorm(min(times) / 1.1, max(times) * 1.1), AMOUNTS)
    colours = shades.to_rgba(np.array(times))
    for model, colour, x, y in zip(models, colours, sizes, errors, strict=True):
        axes.plot(x, y, _MARKERS[model.engine], color=colour, markersize=8, markeredgecolor="0.2", zorder=3)
    # space for the labels, which are to the right of their points if possible
    ratio = max(sizes) / min(sizes)
    log_axis(axes, "x", min(sizes) / max(1.6, ratio**0.2), max(sizes) * max(2.2, ratio**0.3), size_text)
    log_axis(axes, "y", min(low for low, _ in bars) / 1.15, max(high for _, high in bars) * 1.15, percent_text)
    bar = figure.colorbar(shades, ax=axes, location="top", shrink=0.7, aspect=35, pad=0.02)
    bar.set_label("latency of one image")
    log_axis(bar.ax, "x", min(times) / 1.1, max(times) * 1.1, time_text)
    engines = sorted({model.engine for model in models})
    if len(engines) > 1:
        marks = [Line2D([], [], marker=_MARKERS[engine], color="0.5", linestyle="none") for engine in engines]
        figure.legend(marks, engines, loc="outside lower center", ncols=len(engines), fontsize=LABEL_POINTS)
    label_points(axes, list(zip(sizes, errors, strict=True)), [model.title for model in models], bars)
    return figure


def draw_latencies(models: Sequence[ComparedModel]) -> Figure:
    """Draw the latency of one image with the range over the rounds, the fastest model on top.

    Latencies of Keras and ONNX Runtime differ by a factor of about 100, so the axis is logarithmic. Such an axis has no
    zero, so the values are dots and not bars.
    """
    ordered = sorted(models, key=lambda model: -model.single.median_us)
    figure = new_figure(height_inches=1.0 + 0.34 * len(models))
    axes = figure.subplots()
    quiet_axes(axes, x="median latency of one image")
    for row, model in enumerate(ordered):
        time, colour = model.single, _ENGINE_COLOURS[model.engine]
        axes.plot([time.lowest_us, time.highest_us], [row, row], color=colour, linewidth=2.5, alpha=0.45)
        axes.plot(time.median_us, row, _MARKERS[model.engine], color=colour, markersize=7)
        axes.annotate(
            time_text(time.median_us),
            (time.highest_us, row),
            (7, 0),
            textcoords="offset points",
            va="center",
            fontsize=LABEL_POINTS,
        )
    axes.set_yticks(range(len(ordered)), [model.title for model in ordered], fontsize=LABEL_POINTS)
    axes.set_ylim(-0.6, len(ordered) - 0.4)
    low = min(model.single.lowest_us for model in models)
    high = max(model.single.highest_us for model in models)
    # space for the last label
    log_axis(axes, "x", low / 1.3, high * max(1.6, (high / low) ** 0.25), time_text)
    return figure


def _error_bar(accuracy: Accuracy) -> tuple[float, float]:
    low, high = accuracy.interval()
    return max(100 * (1 - high), 25 / accuracy.images), 100 * (1 - low)
