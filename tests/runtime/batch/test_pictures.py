"""Batch prediction of pictures."""

import csv
import multiprocessing
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from digits_edge.runtime.batch import pictures as picture_batch
from digits_edge.runtime.batch.pictures import batch_predict_pictures
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets.synthetic_digits import draw_digit
from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.runtime.preprocessing.pictures import find_pictures
from tests.runtime.preprocessing.drawn_pictures import number as number_picture


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
    (folder / "notes.txt").write_text("not a picture")
    return folder


@pytest.mark.parametrize(("workers", "few"), [(1, 300), (3, 300), (2, 5)], ids=["one", "few pictures", "processes"])
def test_every_prediction_is_that_of_predict(classifier, folder, tmp_path, workers, few, monkeypatch):
    monkeypatch.setattr(picture_batch, "FEW_PICTURES", few)
    calls = []
    report = batch_predict_pictures(
        classifier,
        find_pictures([folder]),
        tmp_path / "out.csv",
        pictures_per_block=4,
        workers=workers,
        progress=lambda *call: calls.append(call),
    )
    with (tmp_path / "out.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["File"] for row in rows] == sorted(path.name for path in folder.glob("*.png"))
    for row in rows:
        expected = classifier.predict(folder / row["File"])
        assert (row["Label"], row["Status"]) == (expected.label or "", expected.status)
        assert float(row["Confidence"]) == pytest.approx(expected.confidence, abs=1e-4)
    assert rows[-1] == {"File": "blank.png", "Label": "", "Confidence": "0.000000", "Status": "blank"}
    uncertain = sum(row["Status"] == "uncertain" for row in rows)
    assert (report.pictures, report.blank, report.uncertain) == (26, 1, uncertain)
    assert calls[-1] == (26, 26)


def test_a_killed_worker_process_is_an_input_error(classifier, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(picture_batch, "FEW_PICTURES", 5)

    def kill(done, total):
        for process in multiprocessing.active_children():
            process.kill()

    pictures = find_pictures([folder]) * 20
    with pytest.raises(InputError, match="was killed, possibly because memory ran out; use --threads 1"):
        batch_predict_pictures(
            classifier, pictures, tmp_path / "out.csv", workers=2, pictures_per_block=4, progress=kill
        )
    assert not (tmp_path / "out.csv").exists()


def test_script_without_a_guard_gets_the_remedy(folder, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from digits_edge.runtime.batch import pictures\n"
        "from digits_edge.runtime.classifier import Classifier\n"
        "from digits_edge.runtime.preprocessing.pictures import find_pictures\n"
        "pictures.FEW_PICTURES = 5\n"
        "with Classifier('edge-int8', provider='cpu', threads=1) as classifier:\n"
        "    found = find_pictures(['pictures'])\n"
        "    pictures.batch_predict_pictures(classifier, found, 'out.csv', workers=2)\n"
    )
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "UsageError: no process that opens pictures could start: a script needs the guard" in done.stderr
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are named in their command line on Linux")
def test_worker_processes_exit_when_their_parent_is_killed(folder, tmp_path):
    for copy in range(20):
        shutil.copytree(folder, tmp_path / "many", dirs_exist_ok=True, copy_function=partial(copy_as, f"{copy}-"))
    arguments = ["batch-predict", "many", "-o", "out.csv", "--provider", "cpu", "--threads", "2"]
    command = [sys.executable, "-c", "from digits_edge.cli.main import main; main()", *arguments]
    with subprocess.Popen(command, cwd=tmp_path) as run:
        helpers = wait_until(60, lambda: [child for child in children_of(run.pid) if "spawn_main" in command_of(child)])
        run.kill()
    wait_until(30, lambda: not any("spawn_main" in command_of(helper) for helper in helpers))


def copy_as(prefix, source, target):
    return shutil.copy(source, Path(target).with_name(prefix + Path(target).name))


def wait_until(timeout_s, condition):
    """Return the first true value of a condition."""
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return value


def children_of(parent):
    try:
        return psutil.Process(parent).children()
    except psutil.Error:
        return []


def command_of(process):
    """The command line; empty if the process has exited."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.mark.parametrize("pictures_per_block", [1, 5])
def test_an_unreadable_picture_is_listed_and_the_others_are_classified(
    classifier, folder, tmp_path, pictures_per_block
):
    (folder / "13b.png").write_bytes(b"\x89PNG, truncated")
    report = batch_predict_pictures(
        classifier, find_pictures([folder]), tmp_path / "out.csv", workers=2, pictures_per_block=pictures_per_block
    )
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert len(lines) == 28 and "13b.png,,,error" in lines
    assert (report.pictures, list(report.failed)) == (26, ["13b.png"])
    assert "13b.png" in report.failed["13b.png"]


def test_a_picture_is_never_overwritten(classifier, folder):
    before = (folder / "blank.png").read_bytes()
    with pytest.raises(UsageError, match="one of the pictures"):
        batch_predict_pictures(classifier, find_pictures([folder]), folder / "blank.png", overwrite=True)
    assert (folder / "blank.png").read_bytes() == before


def test_an_existing_output_is_not_replaced_and_an_empty_folder_is_an_error(classifier, folder, tmp_path):
    (tmp_path / "out.csv").write_text("before")
    with pytest.raises(UsageError, match="--overwrite"):
        batch_predict_pictures(classifier, find_pictures([folder]), tmp_path / "out.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="contains no pictures"):
        batch_predict_pictures(classifier, find_pictures([tmp_path / "empty"]), tmp_path / "new.csv")
    assert (tmp_path / "out.csv").read_text() == "before"
    assert not (tmp_path / "new.csv").exists()


def test_an_interrupted_run_is_resumed(classifier, folder, tmp_path, monkeypatch):
    (folder / "05b.png").write_bytes(b"\x89PNG, truncated")
    pictures, options = find_pictures([folder]), {"pictures_per_block": 4, "resume": True}
    expected = batch_predict_pictures(classifier, pictures, tmp_path / "expected.csv", pictures_per_block=4)
    calls = []

    def interrupt(done, total):
        calls.append(done)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        batch_predict_pictures(classifier, pictures, tmp_path / "out.csv", progress=interrupt, **options)
    assert not (tmp_path / "out.csv").exists()
    calls.clear()
    report = batch_predict_pictures(
        classifier, pictures, tmp_path / "out.csv", progress=lambda done, total: calls.append(done), **options
    )
    assert calls[0] == 16 and report.failed == {} and report.unread == expected.unread == 1
    assert (report.pictures, report.blank) == (expected.pictures, expected.blank)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()
    (folder / "another.png").write_bytes(pictures[0].read_bytes())
    calls[:] = [0, 0]
    with pytest.raises(KeyboardInterrupt):
        batch_predict_pictures(classifier, pictures, tmp_path / "b.csv", progress=interrupt, **options)
    with pytest.raises(UsageError, match="belongs to another folder"):
        batch_predict_pictures(classifier, find_pictures([folder]), tmp_path / "b.csv", **options)


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
def test_no_file_name_is_written_as_a_formula(classifier, tmp_path, first):
    name = f"{first}HYPERLINK(1).png"
    draw_digit(3, np.random.default_rng(0), size=60).save(tmp_path / name)
    (tmp_path / f"{first}bad.png").write_bytes(b"not a picture")
    batch_predict_pictures(classifier, find_pictures([tmp_path]), tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(row["File"] for row in rows) == sorted([f"./{name}", f"./{first}bad.png"])
    assert all((tmp_path / row["File"]).is_file() for row in rows)


def test_standard_output_cannot_be_resumed(classifier, folder):
    with pytest.raises(UsageError, match="cannot be resumed; name a file"):
        batch_predict_pictures(classifier, find_pictures([folder]), "-", resume=True)


def test_pictures_with_several_digits_have_no_label(classifier, tmp_path):
    Image.fromarray(number_picture("4071")).save(tmp_path / "number.png")
    report = batch_predict_pictures(classifier, [tmp_path / "number.png"], tmp_path / "out.csv")
    assert (report.pictures, report.several) == (1, 1)
    assert (tmp_path / "out.csv").read_text().splitlines()[1] == "number.png,,0.000000,several"
