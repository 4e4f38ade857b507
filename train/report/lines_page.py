"""HTML page of the evaluation of a sequence model."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from digits_edge.train.charts.drawing import PALETTE, as_png, as_svg, new_figure, quiet_axes
from digits_edge.train.charts.gallery import Tile, draw_gallery
from digits_edge.train.evaluation.string_evaluation import (
    PRECISION,
    ReadLine,
    StringEvaluation,
    align,
    digits_of,
)
from digits_edge.train.report.page import Block, Facts, Picture, Section, Text, render_page

#: Number of lines with a wrong string, number per picture, and columns.
_WRONG, _PER_PICTURE, _COLUMNS = 36, 18, 3


def lines_page(
    title: str,
    subtitle: str,
    evaluation: StringEvaluation,
    lines: Sequence[ReadLine],
    images: Sequence[NDArray[np.uint8]],
    *,
    digits_only: bool,
) -> str:
    """Render the page as HTML.

    Args:
        title: title of the page.
        subtitle: data and number of lines.
        evaluation: metrics.
        lines: what was read.
        images: uint8 (32, W) of each line.
        digits_only: whether only digits are compared.
    """
    sections = [
        Section("Metrics", [Facts(_metrics(evaluation))]),
        Section("Accuracy by coverage", _coverage(evaluation)),
        Section("Wrong strings", _wrong_strings(lines, images, digits_only=digits_only)),
    ]
    return render_page(title, subtitle, sections)


def _metrics(evaluation: StringEvaluation) -> list[tuple[str, str]]:
    low, high = evaluation.accuracy.interval()
    facts = [
        ("strings read correctly", f"{_percent(evaluation.accuracy.value)} of {evaluation.lines:,}"),
        ("95 % interval", f"{_percent(low)} to {_percent(high)}"),
        ("digit error rate", _percent(evaluation.digit_error_rate)),
        ("precision of the more confident half", _percent(evaluation.half_precision)),
        (f"coverage at a precision of {PRECISION:.0%}", _percent(evaluation.coverage)),
    ]
    if evaluation.empty:
        facts.append(
            ("digits read on lines without a number", f"{evaluation.empty_errors} of {evaluation.empty:,} lines")
        )
    return facts


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def coverage_chart(evaluation: StringEvaluation) -> Figure:
    """Draw the share of right strings among the most confident lines."""
    figure = new_figure()
    axes = figure.subplots()
    coverage, precision = np.array(evaluation.curve).T
    axes.plot(100 * coverage, 100 * precision, color=PALETTE[0])
    axes.set_xlim(0, 100)
    axes.set_ylim(min(90.0, 100 * float(precision.min())) - 1, 100.5)
    quiet_axes(axes, title="Right strings, %", x="accepted lines, the most confident first, %")
    return figure


def _coverage(evaluation: StringEvaluation) -> list[Block]:
    caption = "Lines are accepted in the order of their confidence."
    return [Picture(as_svg(coverage_chart(evaluation)), "Precision by coverage", caption)]


def _wrong_strings(lines: Sequence[ReadLine], images: Sequence[NDArray[np.uint8]], *, digits_only: bool) -> list[Block]:
    """The most confident lines with a wrong string, each with its true and its read text aligned."""
    shown = digits_of if digits_only else str
    wrong = [row for row, line in enumerate(lines) if shown(line.truth) != shown(line.text)]
    wrong.sort(key=lambda row: -lines[row].confidence)
    if not wrong:
        return [Text("All strings are right.")]
    blocks: list[Block] = [Text("True text above, read text below; – marks a missing character.")]
    tiles = []
    for row in wrong[:_WRONG]:
        line = lines[row]
        tiles.append(_tile(line, images[row], shown(line.truth), shown(line.text)))
    for start in range(0, len(tiles), _PER_PICTURE):
        figure = draw_gallery(tiles[start : start + _PER_PICTURE], _COLUMNS)
        blocks.append(Picture(as_png(figure), "Wrong strings", wide=True))
    return blocks


def _tile(line: ReadLine, image: NDArray[np.uint8], truth: str, text: str) -> Tile:
    above, below = align(truth, text)
    # matplotlib would take dollar signs for formulas
    caption = f"{above or 'no number'}\n{below or 'nothing'}  {_percent(line.confidence)}".replace("$", r"\$")
    return Tile(_in_square(image), caption, wrong=True)


def _in_square(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The line on a canvas four times as wide as high, reduced by whole steps if it is wider."""
    height, width = image.shape
    step = -(-width // (5 * height))
    image = image[::step, ::step]
    canvas = np.zeros((height, 5 * height), np.uint8)
    canvas[: image.shape[0], : image.shape[1]] = image
    return canvas
