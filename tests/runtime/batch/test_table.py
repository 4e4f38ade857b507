"""Batch prediction of tables."""

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
from digits_edge.runtime.errors import DataError, InputError, RowError, UsageError

HEADER = ",".join(f"pixel{index}" for index in range(784))


def first_pixel(images):
    """Stand-in for a model: the first pixel is the predicted digit."""
    return np.eye(10, dtype=np.float32)[images[:, 0, 0]]


def csv(digits, *, labels=None):
    rows = [f"{digit}," + ",".join(["0"] * 783) for digit in digits]
    if labels is None:
        return "\n".join([HEADER, *rows]).encode()
    labelled = [f"{label},{row}" for label, row in zip(labels, rows, strict=True)]
    return "\n".join([f"label,{HEADER}", *labelled]).encode()


def write_parquet(path, digits):
    arrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    images = [[300 if digit == "x" else digit, *[0] * 783] for digit in digits]
    parquet.write_table(arrow.table({"image": images}), path)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "test.csv"
    path.write_bytes(csv([3, 1, 4, 1, 5]))
    return path


def test_every_row_has_a_prediction_in_order(tmp_path, source):
    calls = []
    target = tmp_path / "submission.csv"
    report = batch_predict(first_pixel, source, target, rows_per_block=2, progress=lambda *call: calls.append(call))
    assert target.read_bytes() == b"ImageId,Label\n1,3\n2,1\n3,4\n4,1\n5,5\n"
    assert (report.rows, report.errors) == (5, None)
    size = source.stat().st_size
    assert calls[-1] == (size, size)


def test_errors_are_counted_against_the_label_column(tmp_path, source):
    source.write_bytes(csv([3, 1, 4], labels=[3, 1, 5]))
    assert batch_predict(first_pixel, source, tmp_path / "out.csv", rows_per_block=2).errors == 1


def test_an_input_without_rows_gives_only_the_header(tmp_path, source):
    source.write_bytes(HEADER.encode())
    assert batch_predict(first_pixel, source, tmp_path / "out.csv").rows == 0
    assert (tmp_path / "out.csv").read_bytes() == b"ImageId,Label\n"


def test_a_malformed_row_is_an_error_and_an_existing_output_is_unchanged(tmp_path, source):
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


def test_an_existing_output_is_replaced_only_with_overwrite(tmp_path, source):
    target = tmp_path / "out.csv"
    target.write_text("before")
    with pytest.raises(UsageError, match="--overwrite"):
        batch_predict(first_pixel, source, target)
    assert isinstance(batch_predict(first_pixel, source, target, overwrite=True), BatchReport)


def test_the_input_is_never_overwritten(source):
    before = source.read_bytes()
    with pytest.raises(UsageError, match="is the input file"):
        batch_predict(first_pixel, source, source, overwrite=True)
    assert source.read_bytes() == before


def test_a_missing_output_folder_is_an_error_before_the_first_prediction(tmp_path, source):
    with pytest.raises(InputError, match="could not be written"):
        batch_predict(lambda images: pytest.fail("predicted"), source, tmp_path / "gone" / "out.csv")


def test_standard_input_and_standard_output_are_supported(monkeypatch):
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(csv([7, 2]))))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=output))
    batch_predict(first_pixel, "-", "-")
    assert output.getvalue() == b"ImageId,Label\n1,7\n2,2\n"


BAD = [3, 1, "x", 4, 1, "", 5, 9]


def test_skipped_rows_are_listed_and_the_other_rows_keep_their_numbers(tmp_path, source):
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


def test_an_input_of_malformed_rows_gives_only_the_header(tmp_path, source):
    source.write_bytes(csv(["x", "y"]))
    report = batch_predict(first_pixel, source, tmp_path / "out.csv", skip_bad_rows=True)
    assert (report.rows, report.bad_rows) == (0, 2)
    assert (tmp_path / "out.csv").read_text() == "ImageId,Label\n"


class InterruptedRunError(Exception):
    """Simulated interruption."""


def interrupted_after(rows):
    """Stand-in for a model that interrupts the run after a number of rows."""
    remaining = rows

    def predict(images):
        nonlocal remaining
        remaining -= len(images)
        if remaining < 0:
            raise InterruptedRunError
        return first_pixel(images)

    return predict


@given(
    digits=st.lists(st.sampled_from([*range(10), "x"]), min_size=1, max_size=60),
    interruptions=st.lists(st.integers(0, 60), max_size=4),
    size=st.integers(1, 20),
    workers=st.integers(1, 3),
)
@settings(max_examples=40, deadline=None)
def test_a_resumed_run_has_the_output_of_an_uninterrupted_run(tmp_path_factory, digits, interruptions, size, workers):
    folder = tmp_path_factory.mktemp("run")
    source, target, uninterrupted = folder / "test.csv", folder / "out.csv", folder / "uninterrupted.csv"
    source.write_bytes(csv(digits, labels=[1] * len(digits)))
    options = {"rows_per_block": size, "workers": workers, "skip_bad_rows": True, "pixel_range": 255}
    expected = batch_predict(first_pixel, source, uninterrupted, **options)
    before = 0
    for rows in interruptions:
        with contextlib.suppress(InterruptedRunError):
            batch_predict(interrupted_after(rows), source, target, resume_as="m", **options)
        if target.exists():
            break
        assert {path.name for path in folder.iterdir()} >= {"out.csv.partial", "out.csv.partial.json"}
        done = json.loads((folder / "out.csv.partial.json").read_text())["done"]
        assert done >= before
        before = done
    else:
        report = batch_predict(first_pixel, source, target, resume_as="m", **options)
        assert report.resumed_after == before
        assert replace(report, elapsed_s=0, resumed_after=0) == replace(expected, elapsed_s=0)
    for suffix in ("", ".errors.csv"):
        resumed_file, expected_file = Path(f"{target}{suffix}"), Path(f"{uninterrupted}{suffix}")
        assert resumed_file.exists() == expected_file.exists()
        assert not resumed_file.exists() or resumed_file.read_bytes() == expected_file.read_bytes()
    assert not list(folder.glob("*.partial*"))


@pytest.fixture
def interrupted(tmp_path, source):
    """Output of a run that was interrupted after two of five rows."""
    with pytest.raises(InterruptedRunError):
        batch_predict(interrupted_after(2), source, tmp_path / "out.csv", rows_per_block=1, resume_as="m")
    return tmp_path / "out.csv"


def test_output_after_the_recorded_size_is_discarded(interrupted, source):
    partial = interrupted.with_name("out.csv.partial")
    with partial.open("ab") as stream:
        stream.write(b"3,9\n4")  # written, but not recorded before the power failure
    assert batch_predict(first_pixel, source, interrupted, resume_as="m").resumed_after == 2
    assert interrupted.read_bytes() == b"ImageId,Label\n1,3\n2,1\n3,4\n4,1\n5,5\n"


@pytest.mark.parametrize(
    ("corrupt", "message"),
    [
        (lambda folder: (folder / "test.csv").write_bytes(csv([1, 2, 3])), "belongs to another source"),
        (lambda folder: (folder / "out.csv.partial.json").write_bytes(b"{}"), "damaged"),
        (lambda folder: (folder / "out.csv.partial.json").write_bytes(b'{"made_of": 3}'), "damaged"),
        (lambda folder: (folder / "out.csv.partial").write_bytes(b""), "truncated or replaced"),
    ],
    ids=["source", "damaged", "wrong type", "truncated"],
)
def test_a_run_that_cannot_be_resumed_is_an_error_and_its_files_are_unchanged(
    interrupted, source, tmp_path, corrupt, message
):
    corrupt(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match=message):
        batch_predict(first_pixel, source, interrupted, resume_as="m")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@given(
    digits=st.lists(st.sampled_from([*range(10), "x"]), min_size=1, max_size=40),
    size=st.integers(1, 12),
    workers=st.integers(1, 3),
)
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_run_stopped_by_a_malformed_row_continues_there_with_skip(tmp_path_factory, kind, digits, size, workers):
    folder = tmp_path_factory.mktemp("run")
    source, target, skipped = folder / f"test.{kind}", folder / "out.csv", folder / "skipped.csv"
    if kind == "csv":
        source.write_bytes(csv(digits))
    else:
        write_parquet(source, digits)
    options = {"rows_per_block": size, "workers": workers, "pixel_range": 255}
    resumed = []
    if "x" in digits:
        with pytest.raises(RowError, match=rf"row {digits.index('x') + 1}\b"):
            batch_predict(first_pixel, source, target, resume_as="m", **options)
        assert not target.exists()
    continued = batch_predict(
        first_pixel,
        source,
        target,
        resume_as="m",
        skip_bad_rows=True,
        on_resume=lambda *at: resumed.append(at),
        **options,
    )
    before = digits.index("x") if "x" in digits else 0
    assert continued.resumed_after == before
    assert resumed == ([(before, folder / "out.csv.partial")] if before else [])
    expected = batch_predict(first_pixel, source, skipped, skip_bad_rows=True, **options)
    assert replace(continued, elapsed_s=0, resumed_after=0) == replace(expected, elapsed_s=0)
    assert target.read_bytes() == skipped.read_bytes()
    errors, expected_errors = folder / "out.csv.errors.csv", folder / "skipped.csv.errors.csv"
    assert errors.exists() == expected_errors.exists() == ("x" in digits)
    assert not errors.exists() or errors.read_bytes() == expected_errors.read_bytes()


def test_a_run_that_skipped_rows_continues_with_stop(tmp_path, source):
    source.write_bytes(csv([3, "x", 4, 1, "x", 5]))
    target, options = tmp_path / "out.csv", {"resume_as": "m", "rows_per_block": 1}
    with pytest.raises(InterruptedRunError):
        batch_predict(interrupted_after(2), source, target, skip_bad_rows=True, **options)
    with pytest.raises(RowError, match=r"row 5 "):
        batch_predict(first_pixel, source, target, **options)
    report = batch_predict(first_pixel, source, target, skip_bad_rows=True, **options)
    assert (report.rows, report.bad_rows, report.resumed_after) == (4, 2, 4)
    assert target.read_text() == "ImageId,Label\n1,3\n3,4\n4,1\n6,5\n"


def test_a_run_is_not_resumed_with_another_model(interrupted, source):
    with pytest.raises(UsageError, match="another model"):
        batch_predict(first_pixel, source, interrupted, resume_as="n")


@pytest.mark.parametrize("ends", [("-", "out.csv"), ("test.csv", "-")])
def test_streams_cannot_be_resumed(tmp_path, source, monkeypatch, ends):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="cannot be resumed; name a file"):
        batch_predict(first_pixel, *ends, resume_as="m")


def test_a_run_interrupted_between_its_two_renames_is_resumed(tmp_path, source):
    source.write_bytes(csv(BAD))
    target, options = tmp_path / "out.csv", {"skip_bad_rows": True, "resume_as": "m", "rows_per_block": 1}
    with pytest.raises(InterruptedRunError):
        batch_predict(interrupted_after(4), source, target, **options)
    (tmp_path / "out.csv.partial.errors").rename(tmp_path / "out.csv.errors.csv")
    report = batch_predict(first_pixel, source, target, **options)
    assert (report.rows, report.bad_rows) == (6, 2) and report.resumed_after > 0
    assert [line.split(",")[0] for line in (tmp_path / "out.csv.errors.csv").read_text().splitlines()[1:]] == ["3", "6"]


def test_a_state_file_without_partial_output_is_ignored(interrupted, source):
    interrupted.with_name("out.csv.partial").unlink()
    assert batch_predict(first_pixel, source, interrupted, resume_as="m").resumed_after == 0


@pytest.mark.skipif(os.name != "posix", reason="an open file cannot be renamed on Windows")
def test_two_runs_cannot_write_the_same_file(interrupted, source):
    def predict_during_another_run(images):
        with pytest.raises(UsageError, match="another run is writing"):
            batch_predict(first_pixel, source, interrupted, resume_as="m")
        return first_pixel(images)

    assert batch_predict(predict_during_another_run, source, interrupted, resume_as="m").rows == 5
    assert interrupted.read_bytes() == b"ImageId,Label\n1,3\n2,1\n3,4\n4,1\n5,5\n"
