"""A folder of pictures in, a CSV out."""

import csv

import numpy as np
import pytest
from PIL import Image

from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.runtime.picture_batch import batch_predict_pictures
from digits_edge.runtime.pictures import find_pictures
from digits_edge.runtime.strokes import draw_digit


@pytest.fixture(scope="module")
def classifier():
    with Classifier("cnn-small", provider="cpu", threads=1) as classifier:
        yield classifier


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(25):
        draw_digit(number % 10, rng, size=60 + number).save(folder / f"{number:02}, of {number % 10}.png")
    Image.new("L", (40, 40), 255).save(folder / "blank.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.mark.parametrize("workers", [1, 3])
def test_every_picture_is_answered_as_predict_does(classifier, folder, tmp_path, workers):
    told = []
    report = batch_predict_pictures(
        classifier,
        find_pictures([folder]),
        tmp_path / "out.csv",
        pictures_per_block=4,
        workers=workers,
        progress=lambda *now: told.append(now),
    )
    with (tmp_path / "out.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["File"] for row in rows] == sorted(path.name for path in folder.glob("*.png"))
    for row in rows:
        alone = classifier.predict(folder / row["File"])
        assert (row["Label"], row["Status"]) == (alone.label or "", alone.status)
        assert float(row["Confidence"]) == pytest.approx(alone.confidence, abs=1e-4)
    assert rows[-1] == {"File": "blank.png", "Label": "", "Confidence": "0.000000", "Status": "blank"}
    uncertain = sum(row["Status"] == "uncertain" for row in rows)
    assert (report.pictures, report.blank, report.uncertain) == (26, 1, uncertain)
    assert told[-1] == (26, 26)


@pytest.mark.parametrize("at_once", [1, 5])
def test_a_picture_that_cannot_be_read_is_named_and_the_others_are_answered(classifier, folder, tmp_path, at_once):
    (folder / "13b.png").write_bytes(b"\x89PNG and no more")
    report = batch_predict_pictures(
        classifier, find_pictures([folder]), tmp_path / "out.csv", workers=2, pictures_per_block=at_once
    )
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert len(lines) == 28 and "13b.png,,,error" in lines
    assert (report.pictures, list(report.failed)) == (26, ["13b.png"])
    assert "13b.png" in report.failed["13b.png"]


def test_a_picture_is_never_the_output(classifier, folder):
    before = (folder / "blank.png").read_bytes()
    with pytest.raises(UsageError, match="one of the pictures"):
        batch_predict_pictures(classifier, find_pictures([folder]), folder / "blank.png", overwrite=True)
    assert (folder / "blank.png").read_bytes() == before


def test_what_stands_there_is_kept_and_an_empty_folder_is_named(classifier, folder, tmp_path):
    (tmp_path / "out.csv").write_text("before")
    with pytest.raises(UsageError, match="--overwrite"):
        batch_predict_pictures(classifier, find_pictures([folder]), tmp_path / "out.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no pictures"):
        batch_predict_pictures(classifier, find_pictures([tmp_path / "empty"]), tmp_path / "new.csv")
    assert (tmp_path / "out.csv").read_text() == "before"
    assert not (tmp_path / "new.csv").exists()


def test_a_run_that_was_cut_is_gone_on_with(classifier, folder, tmp_path, monkeypatch):
    (folder / "05b.png").write_bytes(b"\x89PNG and no more")
    pictures, how = find_pictures([folder]), {"pictures_per_block": 4, "resume": True}
    expected = batch_predict_pictures(classifier, pictures, tmp_path / "whole.csv", pictures_per_block=4)
    seen = []

    def cut(done, of):
        seen.append(done)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        batch_predict_pictures(classifier, pictures, tmp_path / "out.csv", progress=cut, **how)
    assert not (tmp_path / "out.csv").exists()
    seen.clear()
    report = batch_predict_pictures(
        classifier, pictures, tmp_path / "out.csv", progress=lambda done, of: seen.append(done), **how
    )
    assert seen[0] == 16 and report.failed == {} and report.unread == expected.unread == 1
    assert (report.pictures, report.blank) == (expected.pictures, expected.blank)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    (folder / "another.png").write_bytes(pictures[0].read_bytes())
    seen[:] = [0, 0]
    with pytest.raises(KeyboardInterrupt):
        batch_predict_pictures(classifier, pictures, tmp_path / "b.csv", progress=cut, **how)
    with pytest.raises(UsageError, match="another folder"):
        batch_predict_pictures(classifier, find_pictures([folder]), tmp_path / "b.csv", **how)


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
def test_no_name_is_a_formula(classifier, tmp_path, first):
    name = f"{first}HYPERLINK(1).png"
    draw_digit(3, np.random.default_rng(0), size=60).save(tmp_path / name)
    (tmp_path / f"{first}bad.png").write_bytes(b"no picture")
    batch_predict_pictures(classifier, find_pictures([tmp_path]), tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(row["File"] for row in rows) == sorted([f"./{name}", f"./{first}bad.png"])
    assert all((tmp_path / row["File"]).is_file() for row in rows)


def test_standard_output_cannot_be_resumed(classifier, folder):
    with pytest.raises(UsageError, match="cannot be resumed; name a file"):
        batch_predict_pictures(classifier, find_pictures([folder]), "-", resume=True)
