"""A folder of pictures in, a CSV out."""

import csv
import multiprocessing
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digits_edge.runtime.batch import pictures as picture_batch
from digits_edge.runtime.batch.pictures import batch_predict_pictures
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets.synthetic_digits import draw_digit
from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.runtime.preprocessing.pictures import find_pictures


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


@pytest.mark.parametrize(("workers", "few"), [(1, 300), (3, 300), (2, 5)], ids=["one", "few pictures", "processes"])
def test_every_picture_is_answered_as_predict_does(classifier, folder, tmp_path, workers, few, monkeypatch):
    monkeypatch.setattr(picture_batch, "FEW_PICTURES", few)
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


def test_a_process_that_is_ended_from_outside_is_told(classifier, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(picture_batch, "FEW_PICTURES", 5)

    def kill(done, total):
        for process in multiprocessing.active_children():
            process.kill()

    pictures = find_pictures([folder]) * 20
    with pytest.raises(InputError, match="ended from outside, perhaps for want of memory; try --threads 1"):
        batch_predict_pictures(
            classifier, pictures, tmp_path / "out.csv", workers=2, pictures_per_block=4, progress=kill
        )
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_processes_end_with_a_killed_caller(folder, tmp_path):
    for copy in range(20):
        shutil.copytree(folder, tmp_path / "many", dirs_exist_ok=True, copy_function=partial(copied, f"{copy}-"))
    arguments = ["batch-predict", "many", "-o", "out.csv", "--provider", "cpu", "--threads", "2"]
    command = [sys.executable, "-c", "from digits_edge.cli.main import main; main()", *arguments]
    with subprocess.Popen(command, cwd=tmp_path) as run:
        helpers = within(60, lambda: [pid for pid in processes_of(run.pid) if "spawn_main" in title_of(pid)])
        run.kill()
    within(30, lambda: not any("spawn_main" in title_of(pid) for pid in helpers))


def copied(prefix, source, target):
    return shutil.copy(source, Path(target).with_name(prefix + Path(target).name))


def within(seconds, found):
    """What is found at last."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return value


def processes_of(parent):
    children = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(pid) for pid in children.read_text().split()] if children.exists() else []


def title_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


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
