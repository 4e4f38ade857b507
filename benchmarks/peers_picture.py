"""Chart of `digits-edge benchmark --peers`: images per second by batch size, for every engine.

    python -m benchmarks.peers_picture benchmarks/results/DATE-ENVIRONMENT-peers.csv -o docs/pictures/peers.svg

One panel for each model, with the number of threads of --threads. Both axes are logarithmic, because engines differ by
a factor of a hundred. The output is PNG if its name ends in .png, otherwise SVG.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from digits_edge.measure.engine_spec import OWN_ENGINE
from digits_edge.measure.results import PeerRow, read_results
from digits_edge.runtime.errors import DigitsEdgeError, UsageError
from digits_edge.train.charts.drawing import PALETTE, as_png, as_svg, new_figure, quiet_axes

_BLUE, _VERMILION, _GREEN, _PURPLE, _ORANGE, _SKY = PALETTE
#: Engine → colour and marker; grey where the palette ends.
STYLES = {
    "digits-edge cpu": (_BLUE, "o"),
    "digits-edge openvino": (_SKY, "s"),
    "digits-edge cuda": ("black", "P"),
    "onnxruntime": (_GREEN, "^"),
    "openvino": (_ORANGE, "v"),
    "litert": (_PURPLE, "D"),
    "tf.function": (_VERMILION, "<"),
    "keras called": ("0.35", ">"),
    "keras predict": ("0.6", "X"),
}
OTHER = ("0.2", "*")
COLUMNS = 2


def draw(rows: Sequence[PeerRow], threads: int) -> Figure:
    """Draw one panel for each model, and one legend.

    Raises:
        UsageError: there are no results with this number of threads.
    """
    rows = [row for row in rows if row.threads == threads]
    if not rows:
        raise UsageError(f"no results with {threads} thread(s): use another value of --threads")
    models = list(dict.fromkeys((row.model, row.precision) for row in rows))
    columns = min(COLUMNS, len(models))
    lines = math.ceil(len(models) / columns)
    figure = new_figure(height_inches=1.2 + 3.0 * lines, width_inches=1.0 + 4.2 * columns)
    panels = figure.subplots(lines, columns, squeeze=False).flatten()
    for panel in panels[len(models) :]:
        panel.set_visible(False)
    drawn: dict[str, Line2D] = {}
    for panel, (model, precision) in zip(panels, models, strict=False):
        quiet_axes(
            panel,
            title=model if model.endswith(precision) else f"{model}, {precision}",
            x="batch size",
            y="images / s",
        )
        drawn |= _draw_panel(panel, [row for row in rows if (row.model, row.precision) == (model, precision)])
    engines = [engine for engine in dict.fromkeys((*STYLES, *drawn)) if engine in drawn]
    figure.legend(
        [drawn[engine] for engine in engines], engines, loc="outside lower center", ncols=2 + columns, frameon=False
    )
    figure.suptitle(f"images per second by batch size, {threads} thread{'s' if threads > 1 else ''}", fontsize=12)
    return figure


def _draw_panel(panel: Axes, rows: Sequence[PeerRow]) -> dict[str, Line2D]:
    """Draw the results of one model; return the line of each engine."""
    drawn = {}
    for engine in dict.fromkeys(row.engine for row in rows):
        own = sorted((row for row in rows if row.engine == engine), key=lambda row: row.batch_size)
        colour, marker = STYLES.get(engine, OTHER)
        is_ours = engine.startswith(OWN_ENGINE)
        # thick and below the others, which may run the same kernels and cover it
        [drawn[engine]] = panel.plot(
            [row.batch_size for row in own],
            [row.images_per_second for row in own],
            color=colour,
            marker=marker,
            markersize=8 if is_ours else 4.5,
            linewidth=3.5 if is_ours else 1.2,
            zorder=2 if is_ours else 3,
        )
    sizes = sorted({row.batch_size for row in rows})
    panel.set_xscale("log", base=2)
    panel.set_xticks(sizes, [f"{size:,}" for size in sizes])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    return drawn


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.peers_picture", description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="CSV of `digits-edge benchmark --peers`")
    parser.add_argument("-o", "--output", type=Path, required=True, help="SVG or PNG file")
    parser.add_argument("--threads", type=int, default=1, help="number of threads  [default: %(default)s]")
    options = parser.parse_args()
    try:
        figure = draw(read_results(options.results), options.threads)
    except DigitsEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    options.output.write_bytes(as_png(figure) if options.output.suffix == ".png" else as_svg(figure))
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
