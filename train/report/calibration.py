"""The reliability diagram of a classifier."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from digits_edge.train.charts.drawing import PALETTE, new_figure, quiet_axes
from digits_edge.train.charts.log_axis import log_axis
from digits_edge.train.evaluation.evaluation import Bin

_ACCURACY, _CONFIDENCE, _MUTED = PALETTE[0], PALETTE[1], "#57606a"
_PERCENT = FuncFormatter(lambda share, _: f"{100 * share:.0f} %")


def draw_reliability(bins: Sequence[Bin]) -> Figure:
    """Draw accuracy by confidence, and the number of images per bin on a logarithmic axis."""
    figure = new_figure(5.2)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.3))
    filled = [found for found in bins if found.images]
    middles = [(found.low + found.high) / 2 for found in filled]
    width = bins[0].high - bins[0].low
    above.bar(middles, [found.accuracy or 0 for found in filled], 0.9 * width, color=_ACCURACY, label="accuracy")
    above.plot([0, 1], [0, 1], color=_MUTED, linestyle="--", label="perfect calibration")
    confidence = [found.confidence or 0 for found in filled]
    above.plot(confidence, confidence, "D", color=_CONFIDENCE, markersize=5, label="mean confidence")
    quiet_axes(above, y="accuracy")
    above.yaxis.set_major_formatter(_PERCENT)
    above.set_ylim(0, 1.05)
    figure.legend(loc="outside upper center", ncols=3, fontsize=9, columnspacing=1.2)
    counts = below.bar(middles, [found.images for found in filled], 0.9 * width, color=_MUTED)
    below.bar_label(counts, [_short(found.images) for found in filled], fontsize=8, padding=2)
    log_axis(below, "y", 0.5, 8 * max(found.images for found in filled), _short)
    quiet_axes(below, x="confidence: probability of the predicted class", y="images")
    below.xaxis.set_major_formatter(_PERCENT)
    below.set_xlim(0, 1)
    return figure


def _short(count: float) -> str:
    return f"{count:.0f}" if count < 1000 else f"{count / 1000:.3g}k"
