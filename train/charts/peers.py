"""Bar chart of a comparison of engines: `draw_peers()`."""

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from digits_edge.measure.engine_spec import OWN_ENGINE
from digits_edge.measure.results import PeerRow, SkippedEngine
from digits_edge.runtime.errors import UsageError
from digits_edge.train.charts.drawing import PALETTE, new_figure

_OURS, _OTHER = PALETTE[0], "0.72"
#: Longer bars, as ratios, are cut off, so that the differences between fast engines stay visible.
_MAX_BAR = 3.0
_MAX_COLUMNS = 2
_PANEL_INCHES = 5.2
_CAPTION_CHARACTERS_PER_INCH = 15

#: Model, number of threads and batch size.
_Panel = tuple[str, int, int]


def draw_peers(rows: Sequence[PeerRow], skipped: Sequence[SkippedEngine], *, processor: str) -> Figure:
    """Draw a panel for each model, number of threads and batch size, with a bar for each engine, fastest first.

    A bar is the time of a call relative to the fastest provider of digits-edge.

    Args:
        rows: the results of one run.
        skipped: engines that were not measured; the caption names them.
        processor: name of the processor.

    Raises:
        UsageError: there are no results.

    Example:
        >>> row = PeerRow("m", "int8", "digits-edge cpu", "digits-edge 1.0", 1, 1, 20.0, 19.0, 21.0, 5e4, 1.0, 1.0, 0.0)
        >>> len(draw_peers([row], [], processor="a processor").axes)
        1
    """
    panels = {(row.model, row.threads, row.batch_size): None for row in rows}
    if not panels:
        raise UsageError("there are no results to draw")
    of_panel = [[row for row in rows if _panel(row) == panel] for panel in panels]
    columns = min(_MAX_COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    bars = max(len(own) for own in of_panel)
    caption = _caption(rows, skipped, processor, width=int(columns * _PANEL_INCHES * _CAPTION_CHARACTERS_PER_INCH))
    height = lines * (0.75 + 0.27 * bars) + 0.17 * (caption.count("\n") + 1) + 0.5
    figure = new_figure(height_inches=height, width_inches=columns * _PANEL_INCHES)
    every_axes = figure.subplots(lines, columns, squeeze=False).flatten()
    for axes in every_axes[len(panels) :]:
        axes.set_visible(False)
    for axes, panel, own in zip(every_axes, panels, of_panel, strict=False):
        _draw_panel(axes, panel, sorted(own, key=lambda row: row.p50_us))
    figure.suptitle("Time of a call relative to digits-edge (shorter is faster)", fontsize=12)
    figure.supxlabel(caption, fontsize=8, color="0.35", x=0.01, ha="left", ma="left")
    return figure


def _panel(row: PeerRow) -> _Panel:
    return row.model, row.threads, row.batch_size


def _draw_panel(axes: Axes, panel: _Panel, rows: Sequence[PeerRow]) -> None:
    model, threads, batch_size = panel
    longest = min(max(row.ratio for row in rows), _MAX_BAR)
    places = range(len(rows))
    axes.barh(
        places,
        [min(row.ratio, longest) for row in rows],
        height=0.72,
        color=[_OURS if row.engine.startswith(OWN_ENGINE) else _OTHER for row in rows],
    )
    for place, row in zip(places, rows, strict=True):
        if row.ratio > longest:  # a gap shows that the bar is cut off
            axes.barh(place, 0.03 * longest, left=0.9 * longest, height=0.8, color="white")
        ratio = f"{row.ratio:.2f}" if row.ratio < 10 else f"{row.ratio:,.0f}"
        axes.text(
            min(row.ratio, longest) + 0.02 * longest,
            place,
            f"{ratio}× · {_time(row.p50_us)}",
            va="center",
            fontsize=8.5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},  # covers the line at 1
        )
    axes.axvline(1, color="0.2", linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_yticks(places, [row.engine for row in rows])
    axes.set_xticks([])
    axes.set_xlim(0, 1.35 * longest)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    images = f"batches of {batch_size:,}" if batch_size > 1 else "single images"
    axes.set_title(f"{model}, {images}, {threads} thread{'s' if threads > 1 else ''}", loc="left", fontsize=10.5)


def _time(microseconds: float) -> str:
    """A time with three digits."""
    if microseconds < 1000:
        return f"{microseconds:.3g} µs" if microseconds < 100 else f"{microseconds:.0f} µs"
    return f"{microseconds / 1e3:.3g} ms" if microseconds < 1e5 else f"{microseconds / 1e3:,.0f} ms"


def _caption(rows: Sequence[PeerRow], skipped: Sequence[SkippedEngine], processor: str, *, width: int) -> str:
    versions = dict.fromkeys(library for row in rows for library in row.engine_version.split(" + "))
    facts = [f"{processor}; {', '.join(versions)}. Medians of one run, engines in turn."]
    if any(row.ratio > _MAX_BAR for row in rows):
        facts.append(f"Bars longer than {_MAX_BAR:.0f}× are cut off.")
    if names := dict.fromkeys(each.engine for each in skipped):
        facts.append(f"Not measured: {', '.join(names)}.")
    return "\n".join(textwrap.wrap(" ".join(facts), width))
