"""`digits-edge predict`."""

import io
import shutil
import struct
import sys
import zlib

import pytest
from PIL import Image

from digits_edge.runtime.preprocessing.explanation import TILE
from tests.runtime.preprocessing.drawn_pictures import number


def png_header(width, height):
    """Return a PNG with these dimensions in its header and little content."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def test_digit_is_classified(run, seven):
    result = run("predict", "seven.png")
    assert (result.code, result.stderr) == (0, "")
    assert result.stdout.startswith("seven.png  7 ")


def test_json_has_the_documented_keys(run, seven):
    [prediction] = run("predict", "seven.png", "--json").objects
    assert list(prediction) == [
        "schema_version",
        "path",
        "digit",
        "label",
        "confidence",
        "probabilities",
        "status",
        "provider",
        "boxes",
    ]
    assert (prediction["schema_version"], prediction["path"], prediction["digit"]) == (1, "seven.png", 7)
    assert (prediction["status"], prediction["provider"]) == ("ok", "cpu")
    assert len(prediction["probabilities"]) == 10
    assert sum(prediction["probabilities"]) == pytest.approx(1, abs=1e-5)


def test_top_prints_more_classes(run, seven):
    assert run("predict", "seven.png", "--top", "3").stdout.count("%") == 3
    assert run("predict", "seven.png", "--top", "99").stdout.count("%") == 10


def test_blank_page_has_the_status_blank(run, blank):
    result = run("predict", "blank.png", "--json")
    [prediction] = result.objects
    assert (result.code, result.stderr) == (0, "")
    assert (prediction["status"], prediction["digit"], prediction["label"]) == ("blank", None, None)
    assert run("predict", "blank.png").stdout == "blank.png    blank\n"


def test_number_has_the_status_several_and_a_box_for_each_digit(run, tmp_path):
    Image.fromarray(number("4071")).save(tmp_path / "number.png")
    result = run("predict", "number.png", "--json")
    [prediction] = result.objects
    assert (result.code, result.stderr) == (0, "")
    assert (prediction["status"], prediction["digit"], prediction["label"]) == ("several", None, None)
    assert len(prediction["boxes"]) == 4
    assert (
        run("predict", "number.png").stdout
        == "number.png    several: 4 digits found; read them with `digits-edge read`\n"
    )
    assert run("predict", "number.png", "--explain", "seen.png").code == 0


def test_folders_globs_and_files_can_be_combined(run, seven, blank, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(seven, folder / "a.png")
    (folder / "notes.txt").write_text("no picture")
    result = run("predict", "folder", "*.png", "seven.png", "--json")
    assert [line["path"] for line in result.objects] == ["folder/a.png", "blank.png", "seven.png", "seven.png"]


def test_picture_is_read_from_standard_input(run, seven, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(seven.read_bytes())))
    [prediction] = run("predict", "-", "--json").objects
    assert (prediction["path"], prediction["digit"]) == ("-", 7)


def test_other_pictures_are_classified_if_some_are_unreadable(run, seven, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    result = run("predict", "none.png", "seven.png", "text.png", "--json")
    assert result.code == 4
    assert [line["path"] for line in result.objects] == ["none.png", "seven.png", "text.png"]
    assert [line["status"] for line in result.objects] == ["error", "ok", "error"]
    assert result.objects[0]["error"].startswith("none.png does not exist")
    errors = result.stderr.splitlines()
    assert errors[0].startswith("error: none.png does not exist")
    assert errors[1].startswith("error: text.png is not a picture")
    assert errors[2] == "error: 2 of 3 pictures could not be read; the others are classified"


def test_other_pictures_are_classified_if_a_folder_has_none(run, seven, tmp_path):
    (tmp_path / "empty").mkdir()
    result = run("predict", "empty", "seven.png", "--json")
    assert result.code == 4
    assert [(line["path"], line["status"], line["digit"]) for line in result.objects] == [
        ("empty", "error", None),
        ("seven.png", "ok", 7),
    ]
    assert result.objects[0].keys() == result.objects[1].keys() | {"error"}


def test_error_names_a_missing_file(run):
    result = run("predict", "none.png")
    assert (result.code, result.stdout) == (4, "")
    assert result.error == "none.png does not exist; check the spelling"


def test_error_names_a_folder_without_pictures(run, tmp_path):
    (tmp_path / "empty").mkdir()
    result = run("predict", "empty")
    assert result.code == 4
    assert result.error.startswith("empty contains no pictures")


def test_error_names_a_glob_without_match(run):
    result = run("predict", "*.jpg")
    assert result.code == 4
    assert result.error.startswith("*.jpg does not exist")


@pytest.mark.parametrize("kind", ["text", "empty", "truncated", "huge"])
def test_error_names_a_damaged_picture(run, seven, kind):
    intact = seven.read_bytes()
    content = {
        "text": b"hello",
        "empty": b"",
        "truncated": intact[: len(intact) // 2],
        "huge": png_header(50_000, 50_000),
    }
    seven.write_bytes(content[kind])
    result = run("predict", "seven.png")
    assert (result.code, result.stdout) == (4, "")
    assert result.error.startswith("seven.png ")


def test_control_characters_in_a_name_are_escaped(run, blank, tmp_path):
    name = "a\n\x1b[31m.png"
    shutil.copy(blank, tmp_path / name)
    assert run("predict", name).stdout == "'a\\n\\x1b[31m.png'    blank\n"
    assert run("predict", name, "--json").objects[0]["path"] == name
    assert run("predict", "none\n\x1b.png").error.startswith("'none\\n\\x1b.png' does not exist")


def test_name_that_is_not_unicode_is_accepted(run, blank, tmp_path):
    name = b"\xff.png".decode("utf-8", "surrogateescape")
    shutil.copy(blank, tmp_path / name)
    result = run("predict", name, "--json")
    assert result.objects[0]["path"] == name
    assert result.stdout.isascii()


def test_sixteen_bit_picture_is_read(run, images, tmp_path):
    Image.fromarray((255 - images[7]).astype("uint16") * 257).resize((84, 84)).save("deep.png")
    assert run("predict", "deep.png", "--json").objects[0]["digit"] == 7


def test_explain_draws_a_row_per_picture(run, seven, blank, tmp_path):
    result = run("predict", "seven.png", "blank.png", "none.png", "--explain", "seen.png")
    assert result.code == 4
    assert result.stdout == run("predict", "seven.png", "blank.png", "none.png").stdout
    assert "wrote seen.png" in result.stderr
    assert Image.open(tmp_path / "seen.png").height == 2 * 268
    refused = run("predict", "seven.png", "--explain", "seen.png")
    assert (refused.code, refused.error) == (2, "seen.png already exists; replace it with --overwrite")
    assert run("predict", "seven.png", "--explain", "seen.jpg").code == 2
    assert run("predict", *["seven.png"] * 101, "--explain", "many.png").code == 2
    assert run("predict", "seven.png", "--explain", "seen.png", "--overwrite").code == 0
    assert Image.open(tmp_path / "seen.png").height == 268


@pytest.fixture
def red(tmp_path):
    """A red picture, wider than high."""
    Image.new("RGB", (80, 50), (200, 30, 20)).save(tmp_path / "red.png")
    return tmp_path / "red.png"


def test_colour_photograph_is_classified_by_a_model_of_photographs(run, red, photograph_model):
    result = run("predict", "red.png", "--model", photograph_model, "--top", 2)
    assert (result.code, result.stdout) == (0, "red.png  tomato >99.9 %  leaf 0.0 %\n")
    [found] = run("predict", "red.png", "--model", photograph_model, "--json").objects
    assert (found["digit"], found["label"], found["status"], found["boxes"]) == (0, "tomato", "ok", [])


def test_black_photograph_is_not_blank(run, tmp_path, photograph_model):
    Image.new("L", (40, 40), 0).save(tmp_path / "black.png")
    [found] = run("predict", "black.png", "--model", photograph_model, "--json").objects
    assert (found["status"], found["label"]) == ("uncertain", "tomato")


def test_sigmoid_probabilities_do_not_sum_to_1(run, tmp_path, position_model):
    Image.new("RGB", (100, 100), "white").save(tmp_path / "object.png")
    page = Image.open(tmp_path / "object.png")
    page.paste((90, 20, 20), (20, 10, 80, 90))
    page.save(tmp_path / "object.png")
    [found] = run("predict", "object.png", "--model", position_model, "--json").objects
    assert found["status"] == "ok"
    assert sum(found["probabilities"]) > 2


def test_characters_are_counted_as_characters(run, tmp_path, letter_model):
    number = Image.new("L", (300, 100), "white")
    for left in (20, 120, 220):
        number.paste(0, (left, 20, left + 12, 80))
    number.save(tmp_path / "lines.png")
    result = run("predict", "lines.png", "--model", letter_model)
    assert result.stdout.endswith("several: 3 characters found; crop the picture to one\n")


def test_explain_shows_the_colours_of_a_photograph(run, red, tmp_path, photograph_model):
    assert run("predict", "red.png", "--model", photograph_model, "--explain", "steps.png").code == 0
    with Image.open(tmp_path / "steps.png") as steps:
        counts = {colour: count for count, colour in steps.convert("RGB").getcolors(100_000)}
    assert counts[200, 30, 20] > TILE * TILE  # the picture, and the model's input
