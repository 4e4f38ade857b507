"""The data report counts invalid values, finds duplicates and computes statistics."""

import gzip
import io
import json
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from digits_edge.runtime.datasets import load
from digits_edge.runtime.errors import DataError
from digits_edge.train.data import duplicates
from digits_edge.train.data.duplicates import content_keys, nearest, same_in_both
from digits_edge.train.data.reading import LISTED, read_csv_rows, read_splits
from digits_edge.train.data.report import describe, mean_images

HEADER = ",".join(["label", *(f"pixel{index}" for index in range(784))])


@pytest.fixture
def rows(squares):
    """CSV fields of 20 labelled images."""
    table = np.hstack([squares.labels[:20, None], squares.images[:20].reshape(20, 784)])
    return [list(map(str, row)) for row in table.tolist()]


@pytest.fixture
def write(tmp_path):
    def write_rows(rows, name="broken.csv", end="\n"):
        text = "\n".join([HEADER, *(",".join(row) for row in rows)]) + end
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write_rows


@pytest.fixture
def write_splits(tmp_path, squares):
    """Write an archive with the first 200 images as train and the rest as test, after a change of its arrays."""

    def write_archive(change=lambda arrays: None):
        images, labels = squares.images.copy(), squares.labels.copy()
        arrays = {"x_train": images[:200], "y_train": labels[:200], "x_test": images[200:], "y_test": labels[200:]}
        change(arrays)
        path = tmp_path / "both.npz"
        np.savez(path, **arrays)
        return str(path)

    return write_archive


def test_faults_of_a_csv_are_counted_and_valid_rows_described(rows, write, squares):
    rows[3][5], rows[3][6] = "", "NaN"
    rows[7][100] = "256"
    rows[8][0] = "12"
    rows[9] = rows[9][:700]
    rows[11][2] = "12.5"
    rows[12][2] = "-1"
    rows[14] = []
    path = write(rows, "broken.csv.gz", end="\n\n\n")
    with pytest.raises(DataError):
        load(data=path)

    [reading] = read_splits(str(path))

    account = reading.account
    assert (account.rows, account.broken_rows, account.wrong_length) == (20, 7, 2)
    assert (account.missing, account.out_of_range, account.malformed) == (2, 3, 1)
    assert [(f.row, f.column, f.value, f.kind) for f in account.first] == [
        (4, "pixel4", "", "missing"),
        (4, "pixel5", "NaN", "missing"),
        (8, "pixel99", "256", "out of range"),
        (9, "label", "12", "out of range"),
        (10, "", "700 of 785 fields", "wrong number of fields"),
        (12, "pixel1", "12.5", "malformed"),
        (13, "pixel1", "-1", "out of range"),
        (15, "", "0 of 785 fields", "wrong number of fields"),
    ]
    valid = [row for row in range(20) if row not in {3, 7, 8, 9, 11, 12, 14}]
    assert reading.rows.tolist() == [row + 1 for row in valid]
    assert np.array_equal(reading.dataset.images, squares.images[valid])
    assert np.array_equal(reading.dataset.labels, squares.labels[valid])
    assert describe([reading]).splits[0].images == 13


def test_faults_beyond_the_list_are_still_counted(rows, write):
    for row in rows[:2]:
        row[1:] = ["999"] * 784
    [reading] = read_splits(str(write(rows)))
    assert reading.account.out_of_range == 2 * 784
    assert len(reading.account.first) == LISTED


def test_csv_without_a_valid_row_names_its_first_fault(rows, write):
    path = write([[*row[:-1], "x"] for row in rows[:2]])
    with pytest.raises(DataError, match=r"none of its 2 rows is valid \(first fault: row 1, pixel783 'x', malf"):
        read_splits(str(path))


def test_csv_with_another_header_is_refused(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="lacks the column pixel0"):
        read_splits(str(path))


@settings(max_examples=60, deadline=None)
@given(
    place=st.integers(0, 784),
    text=st.one_of(st.integers(-300, 1200).map(str), st.text("0123456789-+. eNa\u0660", max_size=5)),
)
def test_row_is_valid_exactly_if_the_strict_reader_accepts_it(place, text, tmp_path_factory):
    fields = ["0"] * 785
    fields[place] = text
    path = tmp_path_factory.mktemp("csv") / "one.csv"
    path.write_text(f"{HEADER}\n{','.join(fields)}\n", encoding="utf-8")
    try:
        strict = load(data=path)
    except DataError:
        found = read_csv_rows(path)
        assert (len(found[0]), found[3].broken_rows, len(found[3].first)) == (0, 1, 1)
    else:
        found = read_csv_rows(path)
        assert found[3].broken_rows == 0
        assert np.array_equal(found[0], strict.images) and np.array_equal(found[1], strict.labels)


def test_missing_and_invalid_values_of_a_float_archive_are_counted(write_splits):
    def add_faults(arrays):
        arrays["x_train"] = arrays["x_train"].astype(np.float32)
        arrays["x_train"][4, 0, 3] = np.nan
        arrays["x_train"][5, 1, 0] = np.inf
        arrays["x_train"][6, 0, 0] = 0.5
        arrays["y_train"][2] = 77

    train, test = read_splits(write_splits(add_faults))
    account = train.account
    assert (account.rows, account.broken_rows) == (200, 4)
    assert (account.missing, account.out_of_range, account.malformed) == (1, 2, 1)
    assert [(f.row, f.column) for f in account.first] == [(3, "label"), (5, "pixel3"), (6, "pixel28"), (7, "pixel0")]
    assert train.dataset.images.dtype == np.uint8
    assert (len(train.dataset), test.account.broken_rows) == (196, 0)


def test_damaged_archive_is_refused(tmp_path):
    path = tmp_path / "damaged.npz"
    path.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DataError, match=r"could not be read as \.npz"):
        read_splits(str(path))


def test_file_without_splits_is_read_once(rows, write):
    assert [reading.split for reading in read_splits(str(write(rows)))] == ["file"]


def test_folder_with_one_split(rows, write, tmp_path):
    write(rows, "test.csv")
    [reading] = read_splits(str(tmp_path))
    assert (reading.split, describe([reading]).leakage) == ("test", None)


def test_archive_with_train_only(squares, tmp_path):
    np.savez(tmp_path / "half.npz", x_train=squares.images, y_train=squares.labels)
    assert [reading.split for reading in read_splits(str(tmp_path / "half.npz"))] == ["train"]


def test_statistics_agree_with_numpy(write_splits, squares):
    report = describe(read_splits(write_splits()))
    train, images = report.splits[0], squares.images[:200]
    assert (train.images, train.shape, train.dtype, train.labels_dtype) == (200, (200, 28, 28), "uint8", "uint8")
    assert train.pixels.raw.mean == pytest.approx(images.mean())
    assert train.pixels.raw.std == pytest.approx(images.std())
    assert train.pixels.scaled.std == pytest.approx((images / 255).std())
    assert train.pixels.standardised.max == pytest.approx(((images - images.mean()) / images.std()).max())
    assert train.pixels.zero_share == pytest.approx((images == 0).mean())
    assert [found.images for found in train.classes] == [20] * 10
    assert train.imbalance == 1
    means = mean_images(replace(squares, images=images, labels=squares.labels[:200]))
    assert np.allclose(means[3], images[squares.labels[:200] == 3].mean(axis=0))


def test_empty_class_and_blank_images_are_reported(write_splits):
    def change(arrays):
        arrays["y_train"][arrays["y_train"] == 9] = 8
        arrays["x_train"][:] = 0

    train = describe(read_splits(write_splits(change))).splits[0]
    assert train.imbalance is None
    assert (train.classes[9].images, train.classes[9].mean_level) == (0, None)
    assert (train.pixels.blank_images, train.pixels.always_empty, train.pixels.standardised) == (200, 784, None)
    assert (train.repeats.groups, train.repeats.surplus, train.repeats.conflicting) == (1, 199, 1)


def test_duplicates_are_found_within_and_across_splits(write_splits):
    def repeat(arrays):
        arrays["x_train"][50] = arrays["x_train"][40]  # of the same class
        arrays["x_train"][61] = arrays["x_train"][70]  # of another
        arrays["x_test"][5] = arrays["x_train"][15]
        arrays["x_test"][6] = arrays["x_train"][17]

    report = describe(read_splits(write_splits(repeat)))
    repeats, leakage = report.splits[0].repeats, report.leakage
    assert (repeats.groups, repeats.surplus, repeats.conflicting) == (2, 2, 1)
    assert [(group.rows, group.labels) for group in repeats.first] == [((62, 71), (1, 0)), ((41, 51), (0, 0))]
    assert (leakage.identical, leakage.identical_other_label) == (2, 1)
    assert {(pair.train_row, pair.test_row, pair.distance) for pair in leakage.closest[:2]} == {(16, 6, 0), (18, 7, 0)}


def test_jpeg_copy_is_near_and_other_images_are_not(write_splits):
    def save_again(arrays):
        content = io.BytesIO()
        Image.fromarray(arrays["x_train"][33]).save(content, "jpeg", quality=90)
        arrays["x_test"][8] = np.asarray(Image.open(content))

    leakage = describe(read_splits(write_splits(save_again))).leakage
    assert (leakage.near, leakage.identical, leakage.near_other_label) == (1, 0, 1)
    assert (leakage.closest[0].train_row, leakage.closest[0].test_row) == (34, 9)
    assert sum(leakage.distance_counts) == leakage.searched == 100


def test_nearest_agrees_with_brute_force(squares):
    train, test = squares.images[:200], squares.images[200:]
    calls = []
    found = nearest(train, test, {}, lambda done, total: calls.append((done, total)))
    exact = np.sqrt(np.square(train[None].astype(int) - test[:, None]).mean(axis=(2, 3)))
    assert np.array_equal(found.train, exact.argmin(axis=1))
    assert np.allclose(found.distance, exact.min(axis=1))
    assert calls[-1] == (200, 200)


@pytest.mark.parametrize("at_once", [1, 700, 2**26])
def test_nearest_images_in_colour_do_not_depend_on_the_memory(colours, monkeypatch, at_once):
    monkeypatch.setattr(duplicates, "_PIXELS", at_once * colours.image.pixels)
    train, test = colours.images[:120], colours.images[120:]
    exact = np.sqrt(np.square(train[None].astype(int) - test[:, None]).mean(axis=(2, 3, 4)))
    found = nearest(train, test, {})
    np.testing.assert_array_equal(found.train, exact.argmin(axis=1))
    np.testing.assert_allclose(found.distance, exact.min(axis=1))


def test_the_splits_of_a_folder_of_pictures_are_described(tmp_path):
    for number in range(20):
        path = tmp_path / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((6, 8, 3), 10 * (number // 2), np.uint8)).save(path)
    report = describe(read_splits(str(tmp_path)))
    assert [split.split for split in report.splits] == ["train", "test"]
    assert [split.shape for split in report.splits] == [(16, 6, 8, 3), (4, 6, 8, 3)]
    assert [found.name for found in report.splits[0].classes] == ["a", "b"]
    # the pictures of both classes are equal
    assert sum(split.repeats.conflicting for split in report.splits) == 10
    assert sum(split.pixels.blank_images for split in report.splits) == 2


def test_named_classes_of_an_archive_are_counted(tmp_path):
    images = np.random.default_rng(0).integers(2, 256, (4, 9, 9, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=[0, 1, 2, 3], class_names=["cat", "dog", "emu"])
    [reading] = read_splits(str(tmp_path / "a.npz"))
    assert (reading.account.out_of_range, reading.dataset.class_names) == (1, ("cat", "dog", "emu"))
    np.testing.assert_array_equal(reading.dataset.images, images[:3])


def test_equal_images_have_equal_keys(squares):
    keys = content_keys(squares.images)
    assert len(set(keys)) == 300
    assert same_in_both(keys[:100], content_keys(np.asfortranarray(squares.images[50:150]))) == {
        index: index + 50 for index in range(50)
    }


def test_report_is_json_and_its_page_has_every_section(write_splits, write, rows, monkeypatch):
    from digits_edge.train.report.data_page import data_page

    rows[0][1] = "<b>"
    monkeypatch.setattr(duplicates, "MAX_PAIRS", 200 * 30)
    # matplotlib is slow with many images
    monkeypatch.setattr("digits_edge.train.report.data_page._PER_CLASS", 1)
    monkeypatch.setattr("digits_edge.train.data.report.LISTED", 2)
    for source in (write_splits(), str(write(rows))):
        readings = read_splits(source)
        report = describe(readings)
        assert json.loads(json.dumps(asdict(report)))["splits"][0]["split"] == readings[0].split
        page = data_page(report, readings)
        assert f"Data report: {report.name}" in page
        assert 'src="http' not in page
        for title in ("Missing and out-of-range values", "Labels", "Samples", "Mean images", "Pixels", "duplicates"):
            assert title in page
        assert page.count("<img") >= 8
        assert "<b>" not in page
        if found := report.leakage:
            assert found.searched == sum(found.distance_counts) == 30
            assert "a random sample of 30 of 100 test images" in page


def test_data_report_does_not_import_keras():
    program = (
        "import sys, digits_edge.train.report.data_page; print(*{'keras', 'tensorflow', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
