"""`digits-edge predict`."""

import io
import shutil
import struct
import sys
import zlib

import pytest
from PIL import Image


def png_header(width, height):
    """A PNG that says it is this large and holds next to nothing."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def test_digit_is_read_from_a_picture(run, seven):
    answer = run("predict", "seven.png")
    assert (answer.code, answer.stderr) == (0, "")
    assert answer.stdout.startswith("seven.png  7 ")


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
    ]
    assert (prediction["schema_version"], prediction["path"], prediction["digit"]) == (1, "seven.png", 7)
    assert (prediction["status"], prediction["provider"]) == ("ok", "cpu")
    assert len(prediction["probabilities"]) == 10
    assert sum(prediction["probabilities"]) == pytest.approx(1, abs=1e-5)


def test_top_shows_more_digits(run, seven):
    assert run("predict", "seven.png", "--top", "3").stdout.count("%") == 3
    assert run("predict", "seven.png", "--top", "99").stdout.count("%") == 10


def test_blank_page_is_blank_and_no_error(run, blank):
    answer = run("predict", "blank.png", "--json")
    [prediction] = answer.objects
    assert (answer.code, answer.stderr) == (0, "")
    assert (prediction["status"], prediction["digit"], prediction["label"]) == ("blank", None, None)
    assert run("predict", "blank.png").stdout == "blank.png    blank\n"


def test_folders_globs_and_files_mix(run, seven, blank, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(seven, folder / "a.png")
    (folder / "notes.txt").write_text("no picture")
    answer = run("predict", "folder", "*.png", "seven.png", "--json")
    assert [line["path"] for line in answer.objects] == ["folder/a.png", "blank.png", "seven.png", "seven.png"]


def test_picture_comes_from_standard_input(run, seven, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(seven.read_bytes())))
    [prediction] = run("predict", "-", "--json").objects
    assert (prediction["path"], prediction["digit"]) == ("-", 7)


def test_unreadable_pictures_do_not_keep_others_from_being_answered(run, seven, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    answer = run("predict", "none.png", "seven.png", "text.png", "--json")
    assert answer.code == 4
    assert [line["path"] for line in answer.objects] == ["none.png", "seven.png", "text.png"]
    assert [line["status"] for line in answer.objects] == ["error", "ok", "error"]
    assert answer.objects[0]["error"].startswith("none.png does not exist")
    complaints = answer.stderr.splitlines()
    assert complaints[0].startswith("error: none.png does not exist")
    assert complaints[1].startswith("error: text.png is no picture")
    assert complaints[2] == "error: 2 of 3 pictures could not be read; the others are answered"


def test_a_folder_without_pictures_does_not_keep_others_from_being_answered(run, seven, tmp_path):
    (tmp_path / "empty").mkdir()
    answer = run("predict", "empty", "seven.png", "--json")
    assert answer.code == 4
    assert [(line["path"], line["status"], line["digit"]) for line in answer.objects] == [
        ("empty", "error", None),
        ("seven.png", "ok", 7),
    ]
    assert answer.objects[0].keys() == answer.objects[1].keys() | {"error"}


def test_missing_file_is_named(run):
    answer = run("predict", "none.png")
    assert (answer.code, answer.stdout) == (4, "")
    assert answer.complaint == "none.png does not exist; check the spelling"


def test_folder_without_pictures_is_named(run, tmp_path):
    (tmp_path / "empty").mkdir()
    answer = run("predict", "empty")
    assert answer.code == 4
    assert answer.complaint.startswith("empty holds no pictures")


def test_glob_without_match_is_named(run):
    answer = run("predict", "*.jpg")
    assert answer.code == 4
    assert answer.complaint.startswith("*.jpg does not exist")


@pytest.mark.parametrize("kind", ["text", "empty", "truncated", "huge"])
def test_file_that_is_no_whole_picture_is_named(run, seven, kind):
    whole = seven.read_bytes()
    content = {
        "text": b"hello",
        "empty": b"",
        "truncated": whole[: len(whole) // 2],
        "huge": png_header(50_000, 50_000),
    }
    seven.write_bytes(content[kind])
    answer = run("predict", "seven.png")
    assert (answer.code, answer.stdout) == (4, "")
    assert answer.complaint.startswith("seven.png ")


def test_control_characters_of_a_name_never_reach_the_terminal(run, blank, tmp_path):
    name = "a\n\x1b[31m.png"
    shutil.copy(blank, tmp_path / name)
    assert run("predict", name).stdout == "'a\\n\\x1b[31m.png'    blank\n"
    assert run("predict", name, "--json").objects[0]["path"] == name
    assert run("predict", "none\n\x1b.png").complaint.startswith("'none\\n\\x1b.png' does not exist")


def test_name_that_is_no_unicode_is_answered(run, blank, tmp_path):
    name = b"\xff.png".decode("utf-8", "surrogateescape")
    shutil.copy(blank, tmp_path / name)
    answer = run("predict", name, "--json")
    assert answer.objects[0]["path"] == name
    assert answer.stdout.isascii()


def test_sixteen_bit_picture_is_read(run, images, tmp_path):
    Image.fromarray((255 - images[7]).astype("uint16") * 257).resize((84, 84)).save("deep.png")
    assert run("predict", "deep.png", "--json").objects[0]["digit"] == 7


def test_explain_draws_a_row_for_each_picture(run, seven, blank, tmp_path):
    answer = run("predict", "seven.png", "blank.png", "none.png", "--explain", "seen.png")
    assert answer.code == 4
    assert answer.stdout == run("predict", "seven.png", "blank.png", "none.png").stdout
    assert "seen.png shows what was seen" in answer.stderr
    assert Image.open(tmp_path / "seen.png").height == 2 * 268
    refused = run("predict", "seven.png", "--explain", "seen.png")
    assert (refused.code, refused.complaint) == (2, "seen.png exists already; --overwrite replaces it")
    assert run("predict", "seven.png", "--explain", "seen.jpg").code == 2
    assert run("predict", *["seven.png"] * 101, "--explain", "many.png").code == 2
    assert run("predict", "seven.png", "--explain", "seen.png", "--overwrite").code == 0
    assert Image.open(tmp_path / "seen.png").height == 268
