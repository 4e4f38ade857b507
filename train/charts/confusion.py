"""Chart of the confusion matrix."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure

from digits_edge.train.charts.drawing import WIDTH_INCHES, name_text, new_figure

_RIGHT, _NONE = "#d8dee4", "#f6f8fa"
_ERRORS = "Oranges"
#: Of more classes, those with the most errors are drawn.
MAX_CLASSES = 62


def draw_confusion(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> Figure:
    """Draw a confusion matrix with true classes as rows and predicted classes as columns.

    The colour shows errors only, on a logarithmic scale. The diagonal is grey, because its large counts would hide the
    errors. Of more than `MAX_CLASSES` classes, those with the most errors are drawn.

    Args:
        confusion: counts, (C, C).
        names: names of the C classes.
    """
    counts = np.array(confusion)
    if len(counts) > MAX_CLASSES:
        errors = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
        chosen = np.sort(np.argsort(-errors, kind="stable")[:MAX_CLASSES])
        counts, names = counts[np.ix_(chosen, chosen)], [names[index] for index in chosen]
    names = [name_text(name) for name in names]
    wrong = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    long_names = max(map(len, names)) > 2
    # a cell for each class is at least 0.2 inches; the page shows a large chart smaller, and readers can enlarge it
    larger = max(1.0, 0.2 * len(names) / 4)
    figure = new_figure((5.6 if long_names else 5.2) * larger, WIDTH_INCHES * larger)
    axes = figure.subplots()
    most = max(int(wrong.max()), 2)
    font = 8 if len(names) <= 20 else 6
    axes.imshow(np.eye(len(counts)), cmap=ListedColormap([_NONE, _RIGHT]))
    # the scale starts at 0.5, so that a single error is coloured
    shown = axes.imshow(np.ma.masked_equal(wrong, 0), cmap=_ERRORS, norm=LogNorm(0.5, most))
    for row, column in np.ndindex(counts.shape):
        if count := counts[row, column]:
            dark = row != column and np.log(2 * count) > 0.6 * np.log(2 * most)
            axes.text(
                column, row, str(count), ha="center", va="center", fontsize=font, color="white" if dark else "black"
            )
    axes.set_xticks(range(len(names)), names)
    if long_names:
        axes.tick_params(axis="x", rotation=45)
        for name in axes.get_xticklabels():
            name.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="predicted class", ylabel="true class")
    bar = figure.colorbar(shown, ax=axes, shrink=0.6, pad=0.02, label="errors")
    bar.outline.set_visible(False)
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if tick <= most]
    bar.set_ticks(ticks, labels=[str(tick) for tick in ticks])
    bar.minorticks_off()
    return figure
