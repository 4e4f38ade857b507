"""ROC curves, one class against the rest."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from digits_edge.train.charts.drawing import PALETTE, new_figure, quiet_axes

_STYLES = ("-", "--", ":")


def draw_roc(probabilities: NDArray[np.floating], labels: NDArray[np.uint8], names: Sequence[str]) -> Figure:
    """How many of a class are found, by how many of the others are taken for it.

    False alarms are on a logarithm, and the axis of what is found begins where the curves do: those of a good model
    would all lie on the frame.

    Args:
        probabilities: (N, C).
        labels: the truth, (N,).
        names: of the classes.
    """
    figure = new_figure(5.2)
    axes = figure.subplots()
    # where not one other image is taken for the class, the share is drawn as that of half an image
    least = 0.5 / len(labels)
    lowest = 1.0
    for index, name in enumerate(names):
        truth = labels == index
        if not 0 < truth.sum() < len(labels):
            continue
        false, found, _ = roc_curve(truth, probabilities[:, index])
        style = _STYLES[index // len(PALETTE) % len(_STYLES)]
        colour = PALETTE[index % len(PALETTE)]
        axes.step(np.maximum(false, least), found, where="post", color=colour, linestyle=style, label=name)
        lowest = min(lowest, float(found[false <= 2 * least].max()))
    axes.set_xscale("log")
    axes.set_xlim(least, 1)
    bottom = max(0.0, lowest - 0.05 * (1 - lowest) - 0.002)
    axes.set_ylim(bottom, 1 + 0.02 * (1 - bottom))
    axes.xaxis.set_major_formatter(FuncFormatter(_percent))
    axes.yaxis.set_major_formatter(FuncFormatter(_percent))
    quiet_axes(axes, title="ROC, each class against the rest", x="others taken for the class", y="found of the class")
    axes.legend(ncols=2, loc="lower right", fontsize=9)
    return figure


def _percent(share: float, _: int) -> str:
    return f"{100 * share:.4g} %"
