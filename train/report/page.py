"""One self-contained HTML page: sections of text, facts, tables and pictures, nothing fetched from elsewhere.

Pictures stand side by side where there is room and below each other on a phone, so draw each chart as a figure of its
own, at most `WIDTH_INCHES` wide.
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
    """The few figures that a reader came for: label and value."""

    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Rows under a head; the first `left` columns are flush left, the others flush right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    left: int = 1


@dataclass(frozen=True)
class Picture:
    """A picture: SVG or PNG bytes, what it shows for those who cannot see it, and a caption.

    A wide picture takes the whole width of the page; others stand side by side.
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
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]


def render_page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The page as HTML.

    Args:
        title: what the page is about.
        subtitle: one line: of which data or model, how many images.
        sections: in reading order.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("digits_edge.train.report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    template = environment.get_template("page.html")
    return template.render(title=title, subtitle=subtitle, sections=sections, version=version("digits-edge"))


def write_page(path: Path, page: str) -> None:
    """Write a page, whole."""
    with atomic_write(path) as stream:
        stream.write(page.encode())
