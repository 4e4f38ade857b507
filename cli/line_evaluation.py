"""Evaluation of sequence models for `digits-edge evaluate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from digits_edge.cli.extras import needs_extra
from digits_edge.cli.options import file_path
from digits_edge.cli.output import percent, print_json, say, show
from digits_edge.runtime.checks.string_parity import confidence
from digits_edge.runtime.datasets.line_set import LineSet, read_line_set
from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.reader.best_path import best_path
from digits_edge.runtime.reader.line_model import LineModel

if TYPE_CHECKING:
    from digits_edge.train.evaluation.string_evaluation import StringEvaluation


@dataclass(frozen=True)
class LineOptions:
    """Options of `evaluate` for sequence models.

    Attributes:
        data: value of `--data`: a folder with `labels.csv`, or `.npz` files of lines; None for the validation lines of
            a run.
        provider: ONNX Runtime provider of a model file.
        threads: number of threads.
        target: HTML page to write; None for none.
        as_json: print JSON.
    """

    data: str | None
    provider: str
    threads: int | None
    target: Path | None
    as_json: bool


def evaluate_lines(model: str, options: LineOptions, *, is_run: bool) -> None:
    """Evaluate a run folder or a model file on labelled lines, and print the metrics.

    Raises:
        UsageError: a model file has no data.
    """
    with needs_extra("train"):
        from digits_edge.train.evaluation.string_evaluation import ReadLine, evaluate_strings
    lines, columns, labels, engine = _run(model, options) if is_run else _file(model, options)
    texts = [best_path(each, labels) for each in columns]
    read = [
        ReadLine(truth, text, confidence(each, labels, text))
        for truth, text, each in zip(lines.texts, texts, columns, strict=True)
    ]
    # the texts of some sets have no separators
    digits_only = all(truth.isdigit() for truth in lines.texts if truth)
    evaluation = evaluate_strings(read, digits_only=digits_only)
    if options.target is not None:
        show("rendering the page")
        with needs_extra("train"):
            from digits_edge.train.report.lines_page import lines_page
            from digits_edge.train.report.page import write_page
        subtitle = f"{len(lines):,} lines, {engine}"
        title = f"{model} on {lines.name}"
        page = lines_page(title, subtitle, evaluation, read, lines.images, digits_only=digits_only)
        write_page(options.target, page)
    if options.as_json:
        page_record = {} if options.target is None else {"page": str(options.target)}
        facts = {"model": model, "provider": engine, "data": lines.name, "digits_only": digits_only}
        print_json(facts | evaluation.to_json() | page_record)
        return
    _print(f"{model} on {engine}, {lines.name}", evaluation, digits_only=digits_only)
    if options.target is not None:
        say(f"wrote {options.target}")


_Found = tuple[LineSet, list[NDArray[np.float32]], tuple[str, ...], str]


def _run(model: str, options: LineOptions) -> _Found:
    """Lines, their columns, the labels, and the engine of a run folder."""
    with needs_extra("export"):
        from digits_edge.export import read_line_source
        from digits_edge.export.temperature import softmax

        source = read_line_source(file_path(model))
    lines = source.validation if options.data is None else read_line_set(file_path(options.data))
    show(f"reading {len(lines):,} lines")
    return lines, [softmax(each) for each in source.logits(lines)], source.labels, "keras"


def _file(model: str, options: LineOptions) -> _Found:
    if options.data is None:
        raise UsageError(
            f"{model} reads lines; pass --data, a folder with labels.csv (file,text) and pictures of lines"
        )
    lines = read_line_set(file_path(options.data))
    opened = LineModel(model, options.provider, options.threads)
    show(f"reading {len(lines):,} lines")
    return lines, [opened.columns(image) for image in lines.images], opened.metadata.labels, opened.provider


def _print(heading: str, evaluation: "StringEvaluation", *, digits_only: bool) -> None:
    low, high = evaluation.accuracy.interval()
    compared = " (digits compared only)" if digits_only else ""
    say(
        f"{heading}: {evaluation.errors} of {evaluation.lines:,} strings are wrong{compared}, "
        f"{percent(evaluation.accuracy.value, 1)} accuracy (95 % interval: {percent(low, 1)} to {percent(high, 1)})"
    )
    say(
        f"digit error rate {percent(evaluation.digit_error_rate)}; precision of the more confident half "
        f"{percent(evaluation.half_precision, 1)}; coverage at 99 % precision {percent(evaluation.coverage, 1)}"
    )
    if evaluation.empty:
        say(f"digits on {evaluation.empty_errors} of {evaluation.empty:,} lines without a number")
