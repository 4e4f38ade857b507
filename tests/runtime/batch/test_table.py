"""A CSV in, a submission out."""

import contextlib
import io
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digits_edge.runtime.batch.table import BatchReport, batch_predict
from digits_edge.runtime.errors import DataError, InputError, UsageError

HEADER = ",".join(f"pixel{index}" for index in range(784))


def first_pixel(images):
    """A reader of digits for which the first pixel is the digit."""
    return np.eye(10, dtype=np.float32)[images[:, 0, 0]]


def csv(digits, *, labels=None):
    rows = [f"{digit}," + ",".join(["0"] * 783) for digit in digits]
    if labels is None:
        return "\n".join([HEADER, *rows]).encode()
    labelled = [f"{label},{row}" for label, row in zip(labels, rows, strict=True)]
    return "\n".join([f"label,{HEADER}", *labelled]).encode()


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "test.csv"
    path.write_bytes(csv([3, 1, 4, 1, 5]))
    return path


def test_every_row_is_answered_in_order(tmp_path, source):
    told = []
    target = tmp_path / "submission.csv"
    report = batch_predict(first_pixel, source, target, rows_per_block=2, progress=lambda *now: told.append(now))
    assert target.read_bytes() == b"ImageId,Label\n1,3\n2,1\n3,4\n4,1\n5,5\n"
    assert (report.rows, report.errors) == (5, None)
    size = source.stat().st_size
    assert told[-1] == (size, size)


def test_labels_in_the_input_are_compared(tmp_path, source):
    source.write_bytes(csv([3, 1, 4], labels=[3, 1, 5]))
    assert batch_predict(first_pixel, source, tmp_path / "out.csv", rows_per_block=2).errors == 1


def test_no_rows_are_a_submission_of_none(tmp_path, source):
    source.write_bytes(HEADER.encode())
    assert batch_predict(first_pixel, source, tmp_path / "out.csv").rows == 0
    assert (tmp_path / "out.csv").read_bytes() == b"ImageId,Label\n"


def test_a_bad_row_leaves_no_output_and_what_stood_there(tmp_path, source):
    source.write_bytes(csv([3, 1, 4, "x"]))
    target = tmp_path / "out.csv"
    target.write_text("before")
    with pytest.raises(DataError, match=r"row 4 \(line 5\), column pixel0: 'x'"):
        batch_predict(first_pixel, source, target, rows_per_block=1, overwrite=True)
    assert target.read_text() == "before"
    assert {path.name for path in tmp_path.iterdir()} == {"test.csv", "out.csv"}


def test_a_missing_input_leaves_no_output(tmp_path):
    with pytest.raises(DataError, match=r"gone\.csv could not be read: No such file"):
        batch_predict(first_pixel, tmp_path / "gone.csv", tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_output_is_kept_unless_asked(tmp_path, source):
    target = tmp_path / "out.csv"
    target.write_text("before")
    with pytest.raises(UsageError, match="--overwrite"):
        batch_predict(first_pixel, source, target)
    assert isinstance(batch_predict(first_pixel, source, target, overwrite=True), BatchReport)


def test_the_input_is_never_overwritten(source):
    before = source.read_bytes()
    with pytest.raises(UsageError, match="is the input itself"):
        batch_predict(first_pixel, source, source, overwrite=True)
    assert source.read_bytes() == before


def test_a_folder_that_is_not_there_is_an_error_before_anything_is_read(tmp_path, source):
    with pytest.raises(InputError, match="could not be written"):
        batch_predict(lambda images: pytest.fail("predicted"), source, tmp_path / "gone" / "out.csv")


def test_standard_input_goes_to_standard_output(monkeypatch):
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(csv([7, 2]))))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=output))
    batch_predict(first_pixel, "-", "-")
    assert output.getvalue() == b"ImageId,Label\n1,7\n2,2\n"


BAD = [3, 1, "x", 4, 1, "", 5, 9]


def test_bad_rows_are_listed_beside_the_output_and_no_number_shifts(tmp_path, source):
    source.write_bytes(csv(BAD))
    target = tmp_path / "out.csv"
    report = batch_predict(first_pixel, source, target, rows_per_block=2, skip_bad_rows=True)
    assert (report.rows, report.bad_rows, report.errors) == (6, 2, None)
    assert target.read_text() == "ImageId,Label\n1,3\n2,1\n4,4\n5,1\n7,5\n8,9\n"
    head, third, sixth = (tmp_path / "out.csv.errors.csv").read_text().splitlines()
    assert head == "ImageId,Reason" and third.startswith("3,") and sixth.startswith("6,") and "pixel0" in third
    source.write_bytes(csv([1]))
    batch_predict(first_pixel, source, target, skip_bad_rows=True, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "test.csv"]


def test_rows_that_are_all_bad_are_no_answers(tmp_path, source):
    source.write_bytes(csv(["x", "y"]))
    report = batch_predict(first_pixel, source, tmp_path / "out.csv", skip_bad_rows=True)
    assert (report.rows, report.bad_rows) == (0, 2)
    assert (tmp_path / "out.csv").read_text() == "ImageId,Label\n"


class CutError(Exception):
    """The power fails."""


def cut_after(rows):
    """A reader of digits that does not live to answer more rows than that."""
    left = rows

    def predict(images):
        nonlocal left
        left -= len(images)
        if left < 0:
            raise CutError
        return first_pixel(images)

    return predict


@given(
    digits=st.lists(st.sampled_from([*range(10), "x"]), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    size=st.integers(1, 20),
    workers=st.integers(1, 3),
)
@settings(max_examples=40, deadline=None)
def test_a_run_that_is_cut_again_and_again_ends_like_one_that_is_not(tmp_path_factory, digits, cuts, size, workers):
    folder = tmp_path_factory.mktemp("run")
    source, target, whole = folder / "test.csv", folder / "out.csv", folder / "whole.csv"
    source.write_bytes(csv(digits, labels=[1] * len(digits)))
    how = {"rows_per_block": size, "workers": workers, "skip_bad_rows": True}
    expected = batch_predict(first_pixel, source, whole, **how)
    before = 0
    for rows in cuts:
        with contextlib.suppress(CutError):
            batch_predict(cut_after(rows), source, target, resume_as="m", **how)
        if target.exists():
            break
        assert {path.name for path in folder.iterdir()} >= {"out.csv.partial", "out.csv.partial.json"}
        done = json.loads((folder / "out.csv.partial.json").read_text())["done"]
        assert done >= before
        before = done
    else:
        report = batch_predict(first_pixel, source, target, resume_as="m", **how)
        assert report.resumed_after == before
        assert replace(report, elapsed_s=0, resumed_after=0) == replace(expected, elapsed_s=0)
    for suffix in ("", ".errors.csv"):
        mine, theirs = Path(f"{target}{suffix}"), Path(f"{whole}{suffix}")
        assert mine.exists() == theirs.exists()
        assert not mine.exists() or mine.read_bytes() == theirs.read_bytes()
    assert not list(folder.glob("*.partial*"))


@pytest.fixture
def cut_run(tmp_path, source):
    """A run that was cut after two of five rows."""
    with pytest.raises(CutError):
        batch_predict(cut_after(2), source, tmp_path / "out.csv", rows_per_block=1, resume_as="m")
    return tmp_path / "out.csv"


def test_what_was_not_synced_is_not_believed(cut_run, source):
    partial = cut_run.with_name("out.csv.partial")
    with partial.open("ab") as stream:
        stream.write(b"3,9\n4")  # written, but the power failed before it was noted
    assert batch_predict(first_pixel, source, cut_run, resume_as="m").resumed_after == 2
    assert cut_run.read_bytes() == b"ImageId,Label\n1,3\n2,1\n3,4\n4,1\n5,5\n"


@pytest.mark.parametrize(
    ("corrupt", "message"),
    [
        (lambda folder: (folder / "test.csv").write_bytes(csv([1, 2, 3])), "another source"),
        (lambda folder: (folder / "out.csv.partial.json").write_bytes(b"{}"), "damaged"),
        (lambda folder: (folder / "out.csv.partial.json").write_bytes(b'{"made_of": 3}'), "damaged"),
        (lambda folder: (folder / "out.csv.partial").write_bytes(b""), "cut or replaced"),
    ],
    ids=["source", "damaged", "of another kind", "cut"],
)
def test_what_was_begun_of_something_else_is_refused_and_kept(cut_run, source, tmp_path, corrupt, message):
    corrupt(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match=message):
        batch_predict(first_pixel, source, cut_run, resume_as="m")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_refused_bad_rows_does_not_go_on_skipping_them(cut_run, source):
    with pytest.raises(UsageError, match="another treatment of bad rows"):
        batch_predict(first_pixel, source, cut_run, resume_as="m", skip_bad_rows=True)


def test_another_model_goes_on_with_nothing(cut_run, source):
    with pytest.raises(UsageError, match="another model"):
        batch_predict(first_pixel, source, cut_run, resume_as="n")


@pytest.mark.parametrize("ends", [("-", "out.csv"), ("test.csv", "-")])
def test_streams_cannot_be_resumed(tmp_path, source, monkeypatch, ends):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="cannot be resumed; name a file"):
        batch_predict(first_pixel, *ends, resume_as="m")


def test_a_cut_between_the_two_renames_is_mended(tmp_path, source):
    source.write_bytes(csv(BAD))
    target, how = tmp_path / "out.csv", {"skip_bad_rows": True, "resume_as": "m", "rows_per_block": 1}
    with pytest.raises(CutError):
        batch_predict(cut_after(4), source, target, **how)
    (tmp_path / "out.csv.partial.errors").rename(tmp_path / "out.csv.errors.csv")
    report = batch_predict(first_pixel, source, target, **how)
    assert (report.rows, report.bad_rows) == (6, 2) and report.resumed_after > 0
    assert [line.split(",")[0] for line in (tmp_path / "out.csv.errors.csv").read_text().splitlines()[1:]] == ["3", "6"]


def test_what_a_finished_run_noted_does_not_stop_the_next(cut_run, source):
    cut_run.with_name("out.csv.partial").unlink()
    assert batch_predict(first_pixel, source, cut_run, resume_as="m").resumed_after == 0


@pytest.mark.skipif(os.name != "posix", reason="Windows renames no open file")
def test_two_runs_do_not_write_one_file(cut_run, source):
    def meanwhile(images):
        with pytest.raises(UsageError, match="another run is writing"):
            batch_predict(first_pixel, source, cut_run, resume_as="m")
        return first_pixel(images)

    assert batch_predict(meanwhile, source, cut_run, resume_as="m").rows == 5
    assert cut_run.read_bytes() == b"ImageId,Label\n1,3\n2,1\n3,4\n4,1\n5,5\n"
