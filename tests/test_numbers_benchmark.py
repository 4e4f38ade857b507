"""`benchmarks.numbers`: its figures, and its worker with the model of templates."""

import csv
import sys
from pathlib import Path

import pytest

from benchmarks.number_data import LabelledNumber, cheques, pages
from benchmarks.numbers import WORKER, EngineError, Outcome, outcomes, row_of, write_rows
from tests.drawn_numbers import Written, number_page, plain


def outcome(texts: str, lines: str, confidence: float = 0.9) -> Outcome:
    picture = LabelledNumber("some", Path("a.png"), tuple(texts.split("/")) if texts else (), page=True)
    return Outcome(picture, tuple(lines.split("/")) if lines else (), confidence, ms=2.0, memory_mb=50.0)


def test_figures_are_of_complete_strings_and_of_digits():
    found = [
        outcome("123", "123", 0.9),
        outcome("45/6", "45/6", 0.8),
        outcome("789", "78", 0.7),  # one digit is missing
        outcome("10", "1017", 0.6),  # two are too many
    ]
    row = row_of("engine", "some", found)
    assert (row.pictures, row.errors, row.accuracy) == (4, 2, 0.5)
    assert row.low < 0.5 < row.high
    assert row.digit_error_rate == pytest.approx(3 / 11, abs=1e-4)
    assert (row.coverage, row.threshold, row.half_precision) == (0.5, 0.8, 1.0)
    assert (row.p50_ms, row.memory_mb) == (2.0, 50.0)


def test_confident_errors_reduce_the_coverage():
    row = row_of("engine", "some", [outcome("1", "7", 0.9), outcome("2", "2", 0.8)])
    assert (row.coverage, row.half_precision) == (0.0, 0.0)


def test_pictures_without_a_number_are_right_if_nothing_is_read():
    row = row_of("engine", "no number", [outcome("", ""), outcome("", "11", 0.2)])
    assert (row.errors, row.digit_error_rate) == (1, 0.0)


def test_worker_reads_pictures(tmp_path, sequence_model):
    pictures = []
    for number, (upper, lower) in enumerate((("7901", "64520"), ("647", "9016"))):
        lines = [Written(upper, 100, 100, 60, even=True), Written(lower, 140, 330, 60, even=True)]
        number_page(plain(), lines).save(tmp_path / f"{number}.png")
        pictures.append(LabelledNumber("drawn", tmp_path / f"{number}.png", (upper, lower), page=True))
    found, version = outcomes([sys.executable, "-P", str(WORKER), "digits-edge", str(sequence_model)], pictures)
    assert version.startswith("digits-edge ")
    assert [each.lines for each in found] == [("7901", "64520"), ("647", "9016")]
    assert all(each.is_right and each.ms > 0 and each.memory_mb > 10 for each in found)
    write_rows([row_of("templates", "drawn", found, version)], tmp_path / "results" / "out.csv")
    with (tmp_path / "results" / "out.csv").open(newline="") as stream:
        [row] = csv.DictReader(stream)
    assert (row["engine"], row["errors"], row["version"]) == ("templates", "0", version)


def test_an_engine_that_cannot_start_is_an_error(capfd):
    with pytest.raises(EngineError, match="ended"):
        outcomes([sys.executable, "-P", str(WORKER), "digits-edge", "none.onnx"], [])
    assert "none.onnx could not be read" in capfd.readouterr().err


def test_pictures_are_those_of_the_labels(data_folder):
    fields = list(cheques(data_folder / "hands" / "cheques-dev"))
    assert len(fields) == 400 and all(field.path.is_file() and not field.page for field in fields)
    assert sum(len(page.texts) for page in pages(data_folder / "hands" / "numbers-dev")) == 12
