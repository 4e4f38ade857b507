"""`Reader` with a model of templates on drawn pages: lines, boxes, statuses, constraints, regions and turned pages."""

import io
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from digits_edge.runtime import Classifier, ModelError, Reader, UsageError
from digits_edge.runtime.reader import line_reader
from digits_edge.runtime.reader.constraints import Luhn, accepts_text
from tests.drawn_numbers import PAPERS, Written, number_page, plain

NUMBERS = [Written("7901", 100, 100, 60, even=True), Written("64520", 140, 330, 60, even=True)]


@pytest.fixture(scope="module")
def reader(sequence_model: Path) -> Iterator[Reader]:
    with Reader(sequence_model, provider="cpu") as opened:
        yield opened


@pytest.fixture(autouse=True)
def _one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the other readings of doubtful lines: the templates do not tolerate them."""
    monkeypatch.setattr(line_reader, "READ_AGAIN_BELOW", 0.0)


@pytest.fixture(scope="module")
def page() -> Image.Image:
    return number_page(plain(), NUMBERS)


def texts(reading) -> list[str]:
    return [line.text for line in reading.lines]


def test_each_line_is_a_number(reader: Reader, page: Image.Image):
    reading = reader.read(page)
    assert texts(reading) == [each.text for each in NUMBERS]
    assert reading.status == "ok" and reading.turned_degrees == 0
    assert reading.text == "7901\n64520"
    assert all(line.status == "ok" and line.confidence > 0.5 for line in reading.lines)


def test_boxes_are_around_the_ink_of_each_digit(reader: Reader, page: Image.Image):
    ink = np.asarray(page) < 140
    for line in reader.read(page).lines:
        left, upper, right, lower = line.box
        assert ink[upper:lower, left:right].sum() > 0
        for before, after in zip(line.digits, line.digits[1:], strict=False):
            assert before.box[2] <= after.box[0] + 2
        for digit in line.digits:
            left, upper, right, lower = digit.box
            inside = ink[upper:lower, left:right]
            assert inside.any(0).mean() > 0.7 and inside.any(1).mean() > 0.85
            assert ink[upper:lower, left - 8 : right + 8].sum() == pytest.approx(inside.sum(), rel=0.1)
            assert 0 < digit.confidence <= 1
        assert "".join(digit.digit for digit in line.digits) == line.text


@pytest.mark.parametrize("paper", ["noisy", "on a table", "print of the back"])
def test_papers_do_not_change_the_numbers(reader: Reader, paper: str):
    lines = [Written("7901", 120, 130, 60, even=True), Written("64520", 140, 330, 60, even=True)]
    assert [text for text in texts(reader.read(number_page(PAPERS[paper], lines))) if len(text) > 2] == [
        "7901",
        "64520",
    ]


def test_a_slanted_line_is_levelled(reader: Reader):
    slanted = number_page(plain(), [Written("790126", 100, 200, 60, slope=0.1, even=True)])
    [line] = reader.read(slanted).lines
    assert line.text == "790126"
    ink = np.asarray(slanted) < 140
    left, upper, right, lower = line.digits[-1].box
    assert ink[upper:lower, left:right].any(0).mean() > 0.75


@pytest.mark.parametrize(("degrees", "transposition"), [(90, 2), (180, 3), (270, 4)])
def test_a_turned_page_is_read_with_boxes_of_the_picture_as_given(reader: Reader, degrees: int, transposition: int):
    page = number_page(plain(), [Written("7453", 100, 100, 60, even=True), Written("4754", 140, 330, 60, even=True)])
    turned = page.transpose(transposition)
    reading = reader.read(turned)
    assert texts(reading) == ["7453", "4754"]
    assert reading.turned_degrees == degrees
    ink = np.asarray(turned) < 140
    for line in reading.lines:
        for digit in line.digits:
            left, upper, right, lower = digit.box
            assert ink[upper:lower, left:right].any(0).mean() > 0.7


def test_blank_pages_and_pages_without_numbers(reader: Reader):
    assert reader.read(Image.new("L", (300, 200), 240)).status == "blank"
    assert reader.read(Image.new("L", (60, 40), 240)).status == "blank"
    blot = np.full((300, 300), 240, np.uint8)
    y, x = np.mgrid[:300, :300]
    blot[(x - 150) ** 2 + (y - 150) ** 2 < 60**2] = 20
    reading = reader.read(blot)
    assert reading.status in ("not-a-number", "uncertain", "blank")
    assert reading.to_json()["lines"] == [line.to_json() for line in reading.lines]


@pytest.mark.parametrize(
    ("probability", "text"),
    [(line_reader.MIN_CHARACTER + 0.05, "318"), (line_reader.MIN_CHARACTER - 0.05, "")],
    ids=["doubtful", "improbable"],
)
def test_doubtful_numbers_are_uncertain_not_refused(
    reader: Reader, page: Image.Image, monkeypatch: pytest.MonkeyPatch, probability: float, text: str
):
    labels = reader.metadata.labels
    columns = np.zeros((7, len(labels) + 1), np.float32)
    columns[::2, -1] = 1
    for column, digit in zip((1, 3, 5), "318", strict=True):
        columns[column, [labels.index(digit), labels.index("7")]] = probability, 1 - probability
    monkeypatch.setattr(reader.model, "columns", lambda image: columns)
    field = [(0, 0, *page.size)]  # a field is not turned
    [line] = reader.read(page, regions=field).lines
    assert (line.text, line.status) == (text, "uncertain" if text else "not-a-number")


def test_constraints_hold(reader: Reader, page: Image.Image):
    assert texts(reader.read(page, length=5))[-1] == "64520"
    for line in reader.read(page, length=4).lines:
        assert not line.text or sum(map(str.isdecimal, line.text)) == 4
    assert texts(reader.read(page, pattern="NN NN"))[0] == "7901"
    for line in reader.read(page, check="luhn").lines:
        assert not line.text or accepts_text(Luhn(), line.text)
        assert all(accepts_text(Luhn(), each.text) for each in line.alternatives)
    for line in reader.read(page, check=lambda text: text.endswith("1")).lines:
        assert not line.text or line.text.endswith("1")
    assert texts(reader.read(page, check=lambda text: False)) == ["", ""]
    assert reader.read(page, check=lambda text: False).status == "uncertain"


def test_each_region_is_a_line(reader: Reader, page: Image.Image):
    regions = [(100, 280, 700, 450), (60, 60, 700, 200), (500, 460, 700, 590)]
    reading = reader.read(page, regions=regions)
    assert [(line.text, line.status) for line in reading.lines] == [("64520", "ok"), ("7901", "ok"), ("", "blank")]
    ink = np.asarray(page) < 140
    for line in reading.lines[:2]:
        left, upper, right, lower = line.digits[0].box
        assert ink[upper:lower, left:right].any(0).mean() > 0.75
    with pytest.raises(UsageError, match="region 0,0,900,100 is not in the picture of 800×600 pixels"):
        reader.read(page, regions=[(0, 0, 900, 100)])


@pytest.mark.parametrize("regions", [(100, 280, 700, 450), ["0%,0%,9%,9%"], [(1, 2, 3)], [(0.5, 1, 20, 20)]])
def test_regions_are_lists_of_four_pixels(reader: Reader, page: Image.Image, regions: Any):
    with pytest.raises(UsageError, match="left, upper, right, lower"):
        reader.read(page, regions=regions)


def test_an_empty_batch_has_no_columns():
    with Reader("number-int8", provider="cpu") as reader:
        [columns] = reader.model.batch(np.zeros((1, 32, 40), np.uint8))
        assert reader.model.batch(np.zeros((0, 32, 40), np.uint8)).shape == (0, *columns.shape)


def test_a_reduced_jpeg_has_boxes_and_regions_in_pixels_of_the_file(reader: Reader, page: Image.Image):
    stream = io.BytesIO()
    page.resize((6400, 4800), Image.Resampling.BICUBIC).save(stream, "JPEG")
    reading = reader.read(stream.getvalue())
    assert texts(reading) == ["7901", "64520"]
    small = reader.read(page)
    for line, expected in zip(reading.lines, small.lines, strict=True):
        assert line.box == pytest.approx(tuple(8 * side for side in expected.box), abs=24)
    [field] = reader.read(stream.getvalue(), regions=[(800, 2240, 5600, 3600)]).lines
    assert field.text == "64520"
    assert field.digits[0].box == pytest.approx(reading.lines[1].digits[0].box, abs=40)


def test_a_reader_is_shared_by_threads_and_pickled(reader: Reader, page: Image.Image):
    with ThreadPoolExecutor(4) as pool:
        assert {reading.text for reading in pool.map(reader.read, [page] * 8)} == {"7901\n64520"}
    again = pickle.loads(pickle.dumps(reader))
    assert again.read(page).text == "7901\n64520"
    again.close()
    again.close()
    with pytest.raises(UsageError, match="the reader is closed"):
        again.read(page)


def test_models_are_opened_by_the_class_that_runs_them(sequence_model: Path):
    with pytest.raises(ModelError, match="single images; open it with Classifier"):
        Reader("edge-int8", provider="cpu")
    with pytest.raises(ModelError, match="open it with Reader"):
        Classifier(sequence_model, provider="cpu")
    assert repr(Reader(sequence_model, provider="cpu", threads=1)) == "<Reader templates-fp32 provider=cpu threads=1>"


def test_errors_are_those_of_the_classifier(reader: Reader, page: Image.Image, tmp_path: Path):
    with pytest.raises(ModelError, match="could not be read"):
        Reader(tmp_path / "none.onnx")
    with pytest.raises(UsageError, match="reads 0123456789, not 'A'"):
        reader.read(page, pattern="AN")
    with pytest.raises(UsageError, match="Did you mean 'luhn'"):
        reader.read(page, check="lunh")
