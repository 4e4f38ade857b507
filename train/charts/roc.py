"""Chart of one-vs-rest ROC curves."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from digits_edge.train.charts.drawing import PALETTE, name_text, new_figure, quiet_axes

_STYLES = ("-", "--", ":")
#: Number of curves that can be told apart; of more classes, those with the smallest areas are drawn.
MAX_CURVES = len(_STYLES) * len(PALETTE)


def draw_roc(probabilities: NDArray[np.floating], labels: NDArray[np.unsignedinteger], names: Sequence[str]) -> Figure:
    """Draw the one-vs-rest ROC curve of each class.

    The false positive rate is on a logarithmic axis, and the axis of the true positive rate starts at the lowest curve;
    on linear axes from 0 to 1, the curves of a good model coincide with the frame.

    Args:
        probabilities: floating point, (N, C).
        labels: true classes, unsigned integers (N,).
        names: names of the C classes. Of more than `MAX_CURVES`, those with the smallest areas are drawn.
    """
    shown = _smallest_areas(probabilities, labels, len(names))
    figure = new_figure(5.2)
    axes = figure.subplots()
    # a false positive rate of 0 is drawn as half an image
    least = 0.5 / len(labels)
    lowest = 1.0
    for place, index in enumerate(shown):
        false, found, _ = roc_curve(labels == index, probabilities[:, index])
        style = _STYLES[place // len(PALETTE) % len(_STYLES)]
        colour = PALETTE[place % len(PALETTE)]
        axes.step(
            np.maximum(false, least), found, where="post", color=colour, linestyle=style, label=name_text(names[index])
        )
        lowest = min(lowest, float(found[false <= 2 * least].max()))
    axes.set_xscale("log")
    axes.set_xlim(least, 1)
    bottom = max(0.0, lowest - 0.05 * (1 - lowest) - 0.002)
    axes.set_ylim(bottom, 1 + 0.02 * (1 - bottom))
    axes.xaxis.set_major_formatter(FuncFormatter(_percent))
    axes.yaxis.set_major_formatter(FuncFormatter(_percent))
    quiet_axes(axes, title="One-vs-rest ROC curves", x="false positive rate", y="true positive rate")
    axes.legend(ncols=2, loc="lower right", fontsize=9)
    return figure


def _smallest_areas(
    probabilities: NDArray[np.floating], labels: NDArray[np.unsignedinteger], classes: int
) -> list[int]:
    """Return the classes to draw, in label order; classes with all or none of the images have no curve."""
    present = [index for index in range(classes) if 0 < np.count_nonzero(labels == index) < len(labels)]
    if len(present) <= MAX_CURVES:
        return present
    areas = {index: roc_auc_score(labels == index, probabilities[:, index]) for index in present}
    return sorted(sorted(present, key=areas.__getitem__)[:MAX_CURVES])


def _percent(share: float, _: int) -> str:
    return f"{100 * share:.4g} %"
