"""Chart of precision and recall per class."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from digits_edge.train.charts.drawing import PALETTE, name_text, new_figure, quiet_axes
from digits_edge.train.evaluation.evaluation import ClassFigures


def draw_class_scores(classes: Sequence[ClassFigures]) -> Figure:
    """Draw a row with precision and recall for each class that has images."""
    present = [found for found in classes if found.support]
    figure = new_figure(max(5.2, 0.8 + 0.2 * len(present)))
    axes = figure.subplots()
    rows = range(len(present))
    precision = [found.scores.precision or 0.0 for found in present]
    recall = [found.scores.recall or 0.0 for found in present]
    axes.hlines(rows, precision, recall, color="#8c959f", linewidth=2, zorder=1)
    axes.scatter(precision, rows, color=PALETTE[0], marker="D", label="precision", clip_on=False, zorder=2)
    axes.scatter(recall, rows, color=PALETTE[1], label="recall", clip_on=False, zorder=3)
    lowest, highest = min(*precision, *recall), max(*precision, *recall)
    room = max(0.05 * (highest - lowest), 0.001)
    axes.set_xlim(max(0.0, lowest - room), min(1.0, highest + room))
    axes.set_yticks(rows, [name_text(found.name) for found in present])
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g} %"))
    quiet_axes(axes)
    figure.legend(loc="outside upper center", ncols=2)
    return figure
