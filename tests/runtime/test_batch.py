"""A CSV in, a submission out."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from digits_edge.runtime.batch import BatchReport, batch_predict
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
