"""The line finder on drawn pages with papers, tables, shadows and rules, and on real pictures."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digits_edge.runtime.preprocessing.pictures import open_picture
from digits_edge.runtime.reader.line_crop import line_crop
from digits_edge.runtime.reader.lines import FoundLine, find_lines
from digits_edge.runtime.reader.ruled_lines import without_rules
from tests.drawn_numbers import PAPERS, Written, number_page, plain

#: Tolerance of the edges of boxes, in pixels: half of a thin stroke that a ruled line covers.
TOLERANCE = 8


def box_of(line: Written, lines: list[Written]) -> tuple[int, int, int, int]:
    """The box of the ink of a number, from a page without anything else."""
    page = np.asarray(number_page(plain(), lines))
    rows = slice(line.upper - 5, line.upper + line.height + 60)
    ys, xs = np.nonzero(page[rows] < 140)
    return int(xs.min()), int(ys.min()) + rows.start, int(xs.max()) + 1, int(ys.max()) + rows.start + 1


def is_near(found: FoundLine, expected: tuple[int, int, int, int]) -> bool:
    return all(abs(one - other) <= TOLERANCE for one, other in zip(found.box, expected, strict=True))


@pytest.mark.parametrize("slope", [pytest.param(0.0, marks=pytest.mark.slow), 0.06])
@pytest.mark.parametrize("paper", PAPERS)
def test_two_numbers_are_two_lines_on_every_paper(paper: str, slope: float):
    lines = [Written("4071358", 130, 150, 40, slope=slope), Written("926", 160, 320, 60, slope=slope, pen=0.08)]
    found = find_lines(number_page(PAPERS[paper], lines, ink=20 if paper == "dark" else 40))
    near = [line for line in found if any(is_near(line, box_of(each, lines)) for each in lines)]
    assert len(near) == 2, found
    # besides them, at most the edge of a dark object
    assert len(found) <= 3
    if slope and "squares" not in paper:
        assert near[0].slope == pytest.approx(slope, abs=0.025)


def test_white_ink_on_black_is_found():
    page = Image.eval(number_page(plain(), [Written("4071358", 130, 150)]), lambda level: 255 - level)
    assert len(find_lines(page)) == 1


def test_numbers_side_by_side_and_far_apart_are_two_lines():
    lines = [Written("407", 60, 150), Written("926", 560, 150)]
    assert len(find_lines(number_page(plain(), lines))) == 2


@pytest.mark.parametrize("margin", [40, 60, 120])
def test_a_tinted_box_is_a_line_without_the_paper_around_it(margin: int):
    page = Image.new("L", (300 + 2 * margin, 100 + 2 * margin), "white")
    page.paste(190, (margin, margin, margin + 300, margin + 100))
    for left in range(40, 260, 50):
        page.paste(60, (margin + left, margin + 20, margin + left + 8, margin + 80))
    [line] = find_lines(page)
    assert np.abs(np.subtract(line.box, (margin, margin, margin + 300, margin + 100))).max() <= 4


@pytest.mark.parametrize("shift", [-12, 0, 12])
def test_numbers_of_one_row_are_in_order_from_left_to_right(shift: int):
    lines = [Written("407", 60, 150), Written("926", 560, 150 + shift), Written("58", 60, 300)]
    found = find_lines(number_page(plain(), lines))
    assert [line.parts for line in found] == [3, 3, 2]
    assert found[0].box[0] < found[1].box[0]


def test_a_page_of_many_numbers_has_as_many_lines():
    lines = [Written("407", left, upper, 26) for left in range(40, 700, 160) for upper in range(15, 560, 40)]
    assert len(find_lines(number_page(plain(), lines))) >= len(lines) == 70


def test_numbers_much_further_apart_than_their_digits_are_two_lines():
    lines = [Written("4071", 60, 150), Written("9263", 390, 150)]
    assert [line.parts for line in find_lines(number_page(plain(), lines))] == [4, 4]
    near = [Written("4071", 60, 150), Written("9263", 290, 150)]
    assert [line.parts for line in find_lines(number_page(plain(), near))] == [8]


def test_widely_spaced_digits_are_one_line():
    assert len(find_lines(number_page(plain(), [Written("50713", 60, 200, 40, gap=2.2)]))) == 1


def test_lines_are_ordered_from_top_to_bottom():
    uppers = [60, 150, 240, 330, 420]
    found = find_lines(number_page(plain(), [Written("4071", 100 + upper // 3, upper) for upper in uppers]))
    assert [round(line.box[1] / 10) for line in found] == [round(upper / 10) for upper in uppers]


def test_an_empty_page_has_no_lines():
    for paper in ("plain", "noisy", "squared", "ruled", "hard shadow"):
        assert find_lines(number_page(PAPERS[paper], [])) == [], paper


def test_a_cut_out_field_is_one_line():
    page = number_page(plain(130, 500), [Written("4071", 90, 30, 70)])
    assert [line.box for line in find_lines(page)] == [(0, 0, 500, 130)]
    assert [line.box for line in find_lines(Image.new("L", (40, 28), 200))] == [(0, 0, 40, 28)]


def test_a_region_is_searched_alone():
    lines = [Written("4071358", 130, 150), Written("926", 160, 320, 60)]
    page = number_page(plain(), lines)
    [found] = find_lines(page, (100, 280, 700, 580))
    assert is_near(found, box_of(lines[1], lines))


def test_a_boxed_number_is_found_without_its_box():
    page = np.asarray(number_page(plain(), [Written("4071", 220, 200, 50)])).copy()
    page[180:183, 180:620] = page[270:273, 180:620] = page[180:273, 180:183] = page[180:273, 617:620] = 60
    found = find_lines(Image.fromarray(page))
    assert [line.parts for line in found] == [4]


def test_a_straight_digit_is_not_a_ruled_line():
    mask = np.zeros((400, 400), np.bool_)
    mask[40:360, 195:205] = True
    mask[40:50, 100:205] = True
    assert without_rules(mask) is mask


def test_the_crop_of_a_slanted_line_is_level():
    page = number_page(plain(), [Written("407135892", 130, 150, slope=0.12)])
    [line] = find_lines(page)
    crop = line_crop(page, line)
    ys, _ = np.nonzero(np.asarray(crop.picture) < 140)
    assert np.ptp(ys) < 48  # digits of 40 pixels; the line falls by 60
    again = crop.in_picture((0, 0, *crop.picture.size), page.size)
    assert again[0] <= line.box[0] and again[1] <= line.box[1]
    assert again[2] >= line.box[2] and again[3] >= line.box[3]


@pytest.mark.slow
def test_each_photograph_of_a_digit_is_one_line(data_folder: Path):
    with (data_folder / "photos" / "labels.csv").open(newline="", encoding="utf-8") as stream:
        names = [row["file"] for row in csv.DictReader(stream)]
    several = [name for name in names if len(find_lines(open_picture(data_folder / "photos" / name))) != 1]
    assert several == []


def test_the_lines_of_photographs_are_found(data_folder: Path):
    folder = data_folder / "hands" / "numbers-dev"
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            found = find_lines(open_picture(folder / row["file"]))
            for text in row["text"].split("/"):
                close = [line for line in found if abs(line.parts - len(text)) <= 2]
                assert close, (row["file"], found)
