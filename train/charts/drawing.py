"""Common style of the charts, and their conversion to SVG and PNG."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from digits_edge.runtime.model.image_input import Polarity

#: Colour-blind safe palette by Okabe and Ito, without black and yellow.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
#: Colour map for amounts: perceptually uniform and colour-blind safe.
AMOUNTS = "cividis"
#: Width of a chart, readable on a phone and small enough for two columns on a desktop.
WIDTH_INCHES = 6.0
_DPI = 150


def new_figure(height_inches: float = 4.0, width_inches: float = WIDTH_INCHES) -> Figure:
    """Create an empty figure with constrained layout."""
    return Figure(figsize=(width_inches, height_inches), layout="constrained")


def quiet_axes(axes: Axes, *, title: str = "", x: str = "", y: str = "") -> None:
    """Set the labels, remove the top and right spines, and draw a light grid behind the data."""
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)


def draw_image(axes: Axes, image: NDArray[np.uint8], polarity: Polarity) -> None:
    """Draw an image without ticks; white ink on black is drawn as black ink on white.

    Args:
        axes: axes to draw on.
        image: uint8, (H, W) or (H, W, 3).
        polarity: polarity of a grey image.
    """
    axes.imshow(
        image,
        cmap="gray_r" if polarity == "white-on-black" else "gray",
        vmin=0,
        vmax=255,
        interpolation="nearest",
    )
    axes.set_xticks([])
    axes.set_yticks([])


def name_text(name: str, longest: int = 24) -> str:
    r"""Return a class name as matplotlib draws it unchanged: shortened, and `$` is not the start of a formula.

    Args:
        name: name of a class.
        longest: maximum number of characters.

    Example:
        >>> name_text("5 $ note"), name_text("a" * 30, longest=5)
        ('5 \\$ note', 'aaaa…')
    """
    shortened = name if len(name) <= longest else f"{name[: longest - 1]}…"
    return shortened.replace("$", r"\$")


@contextmanager
def _without_glyph_warnings() -> Iterator[None]:
    """Draw boxes for letters that matplotlib's font does not have, such as Chinese ones, without a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def as_svg(figure: Figure) -> bytes:
    """Render a figure as SVG; equal figures give equal bytes."""
    content = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "digits-edge"}), _without_glyph_warnings():
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()


def as_png(figure: Figure, dpi: float = _DPI) -> bytes:
    """Render a figure as PNG, by default with a resolution for high-density screens."""
    content = io.BytesIO()
    figure.set_dpi(dpi)
    with _without_glyph_warnings():
        # `Figure.savefig` would arrange everything twice
        FigureCanvasAgg(figure).print_png(content)  # type: ignore[no-untyped-call]
    return content.getvalue()
