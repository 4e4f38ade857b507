"""How our charts look, and how a figure becomes bytes: SVG for charts, PNG for what is made of pixels."""

import io

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

#: Okabe and Ito's palette, told apart with every kind of colour blindness; black and the pale yellow are left out.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
#: For amounts: even in lightness, and readable in grey and with every kind of colour blindness.
AMOUNTS = "cividis"
#: A chart's width: readable when a phone shows it at full width, two side by side on a desktop.
WIDTH_INCHES = 6.0
_DPI = 150


def new_figure(height_inches: float = 4.0, width_inches: float = WIDTH_INCHES) -> Figure:
    """An empty figure that lays its parts out without overlap."""
    return Figure(figsize=(width_inches, height_inches), layout="constrained")


def quiet_axes(axes: Axes, *, title: str = "", x: str = "", y: str = "") -> None:
    """Name the axes, leave out the box, and draw a faint grid behind the data."""
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)


def as_svg(figure: Figure) -> bytes:
    """The figure as SVG; the same figure gives the same bytes."""
    content = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "digits-edge"}):
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()


def as_png(figure: Figure) -> bytes:
    """The figure as PNG, sharp on a screen of twice the density."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DPI)
    return content.getvalue()
