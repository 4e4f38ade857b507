"""Self-contained HTML pages with sections of text, facts, tables and pictures.

Pictures are in two columns on wide screens and in one column on phones, so each chart is a separate figure, at most
`WIDTH_INCHES` wide.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import jinja2

from digits_edge.runtime.files import atomic_write


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Facts:
    """Key figures as pairs of label and value."""

    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """A table; the first `left` columns are left-aligned, the others right-aligned."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    left: int = 1


@dataclass(frozen=True)
class Picture:
    """An image with alternative text and caption.

    Attributes:
        content: SVG or PNG bytes.
        alt: alternative text.
        caption: text below the picture.
        wide: whether the picture fills the width of the page.

    Example:
        >>> Picture(b"<svg/>", "chart").source
        'data:image/svg+xml;base64,PHN2Zy8+'
    """

    content: bytes
    alt: str
    caption: str = ""
    wide: bool = False

    @property
    def source(self) -> str:
        """The picture as a data URL."""
        kind = "png" if self.content.startswith(b"\x89PNG") else "svg+xml"
        return f"data:image/{kind};base64,{base64.b64encode(self.content).decode()}"


Block = Text | Facts | Table | Picture


@dataclass(frozen=True)
class Section:
    """A heading and its content."""

    title: str
    blocks: Sequence[Block]


def render_page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Render a page as HTML.

    Args:
        title: heading of the page.
        subtitle: one line below the heading.
        sections: content, in order.

    Example:
        >>> page = render_page("Report", "mnist", [Section("Labels", [Text("10 classes")])])
        >>> "<p>10 classes</p>" in page
        True
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("digits_edge.train.report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    template = environment.get_template("page.html")
    return template.render(title=title, subtitle=subtitle, sections=sections, version=version("digits-edge"))


def write_page(path: Path, page: str) -> None:
    """Write a page to a file atomically."""
    with atomic_write(path) as stream:
        stream.write(page.encode())
