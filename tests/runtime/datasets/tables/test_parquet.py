"""Reading both Parquet layouts, and the errors for other files."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digits_edge.runtime.batch.table import batch_predict
from digits_edge.runtime.datasets.tables.kaggle_csv import PIXELS
from digits_edge.runtime.datasets.tables.parquet import read_parquet_blocks
from digits_edge.runtime.errors import DataError

arrow = pytest.importorskip("pyarrow", reason="pyarrow (the extra parquet) is not installed")
parquet = pytest.importorskip("pyarrow.parquet")

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 28, 28), np.uint8)
LABELS = np.arange(7, dtype=np.uint8)


def pixel_columns(images=IMAGES, dtype=np.uint8):
    return {pixel: images.reshape(-1, 784)[:, index].astype(dtype) for index, pixel in enumerate(PIXELS)}


def lists(images=IMAGES):
    return arrow.array(images.reshape(-1, 784).tolist(), arrow.list_(arrow.int64()))


def fixed_lists(images=IMAGES):
    return arrow.FixedSizeListArray.from_arrays(arrow.array(images.ravel()), 784)


def blobs(images=IMAGES):
    return arrow.array([image.tobytes() for image in images])


def write(path, columns, **options):
    table = columns if isinstance(columns, arrow.Table) else arrow.table(columns)
    parquet.write_table(table, path, **options)
    return path


@pytest.mark.parametrize(
    "columns",
    [
        pixel_columns(),
        pixel_columns(dtype=np.int64),
        pixel_columns(dtype=np.float32),
        dict(reversed(pixel_columns().items())),
        {"image": lists()},
        {"image": fixed_lists()},
        {"image": blobs(), "source": ["somewhere"] * 7},
        {f"{1 + index // 28}x{1 + index % 28}": column for index, column in enumerate(pixel_columns().values())},
        {"ImageId": range(7)} | {f"Pixel{index}": column for index, column in enumerate(pixel_columns().values(), 1)},
    ],
    ids=["pixels", "int64", "float32", "another order", "lists", "fixed lists", "bytes", "row and column", "from 1"],
)
@pytest.mark.parametrize("labelled", [True, False])
def test_every_layout_is_read(tmp_path, columns, labelled):
    path = write(tmp_path / "t.parquet", columns | ({"label": LABELS} if labelled else {}), row_group_size=3)
    blocks = list(read_parquet_blocks(path, rows_per_block=2))
    np.testing.assert_array_equal(np.concatenate([block.images for block in blocks]), IMAGES)
    rows = [block.rows[0] for block in blocks]
    assert rows == [1, *(1 + np.cumsum([len(block.images) for block in blocks])[:-1])]
    if labelled:
        np.testing.assert_array_equal(np.concatenate([block.labels for block in blocks]), LABELS)
    else:
        assert all(block.labels is None for block in blocks)


def changed(index, value):
    images = IMAGES.astype(np.int64)
    images[index] = value
    return images


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [1]}, "lacks the column pixel0 and 783 more; add it, or use"),
        (pixel_columns(changed((4, 0, 5), 256), np.int64), "row 5, column pixel5: 256 is not an integer from 0 to 255"),
        (pixel_columns(changed((4, 0, 5), -1), np.int64), "row 5, column pixel5: -1 is not"),
        (pixel_columns() | {"pixel3": np.full(7, 1.5)}, "row 1, column pixel3: 1.5 is not an integer from 0 to 255"),
        (pixel_columns() | {"pixel3": ["0"] * 7}, "column pixel3 has type string, expected integers from 0 to 255"),
        (pixel_columns() | {"label": [0, 1, 2, 3, 4, 5, 10]}, "row 7, column label: 10 is not an integer from 0 to 9"),
        (pixel_columns() | {"label": [0, 1, None, 3, 4, 5, 6]}, "row 3, column label: missing"),
        ({"image": lists(changed((5, 3, 3), 300))}, "row 6, column image: 300 is not"),
        ({"image": arrow.array([[1, 2]])}, "row 1, column image: 2 values, expected 784"),
        ({"image": arrow.array([b"x" * 784, None])}, "row 2, column image: 0 values, expected 784"),
        ({"image": arrow.array(["x"])}, "column image has type string, expected lists"),
        (arrow.Table.from_arrays([blobs(), blobs()], names=["image", "image"]), "has the column image twice"),
    ],
    ids=[
        "others",
        "256",
        "minus one",
        "half",
        "texts",
        "label 10",
        "no label",
        "300",
        "short",
        "null",
        "text",
        "twice",
    ],
)
def test_the_error_for_wrong_values_names_row_and_column(tmp_path, columns, message):
    path = write(tmp_path / "t.parquet", columns)
    with pytest.raises(DataError) as error:
        list(read_parquet_blocks(path, rows_per_block=2))
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


def intact_file():
    stream = io.BytesIO()
    parquet.write_table(arrow.table({"image": blobs()}), stream)
    return stream.getvalue()


INTACT = intact_file()


@given(st.integers(0, len(INTACT) - 1), st.binary(max_size=40))
@settings(max_examples=60, deadline=None)
def test_a_corrupted_file_gives_all_rows_or_a_data_error(tmp_path_factory, position, replacement):
    path = tmp_path_factory.mktemp("corrupted") / "t.parquet"
    path.write_bytes(INTACT[:position] + replacement + INTACT[position + len(replacement) + 1 :])
    rows = 0
    with contextlib.suppress(DataError):
        try:
            rows = sum(len(block.images) for block in read_parquet_blocks(path))
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017 - some corrupted files are still readable
            raise
    assert rows in (0, 7)


def test_batch_predict_reads_a_file_named_parquet(tmp_path):
    path = write(tmp_path / "t.parquet", {"image": blobs(), "label": LABELS})
    calls = []
    report = batch_predict(
        lambda images: np.eye(10, dtype=np.float32)[images[:, 0, 0] % 10],
        path,
        tmp_path / "out.csv",
        rows_per_block=3,
        progress=lambda *call: calls.append(call),
    )
    lines = [f"{row},{image[0, 0] % 10}" for row, image in enumerate(IMAGES, start=1)]
    assert (tmp_path / "out.csv").read_text().splitlines() == ["ImageId,Label", *lines]
    assert (report.rows, report.errors) == (7, int((IMAGES[:, 0, 0] % 10 != LABELS).sum()))
    assert calls[-1] == (7, 7)


@given(bad=st.sets(st.integers(1, 40)), size=st.integers(1, 50), first_row=st.integers(1, 42))
@settings(max_examples=8, deadline=None)
def test_malformed_rows_are_skipped_and_listed(tmp_path_factory, bad, size, first_row):
    images = np.zeros((40, 28, 28), np.int64)
    for row in bad:
        images[row - 1, 5, 5] = 300
    path = write(tmp_path_factory.mktemp("t") / "t.parquet", pixel_columns(images, np.int64), row_group_size=16)
    blocks = list(read_parquet_blocks(path, rows_per_block=size, first_row=first_row, skip_bad_rows=True))
    wanted = range(first_row, 41)
    assert [row for block in blocks for row in block.rows] == [row for row in wanted if row not in bad]
    assert [each.row for block in blocks for each in block.bad] == [row for row in wanted if row in bad]


def test_a_column_of_the_wrong_type_is_an_error_even_when_skipping_bad_rows(tmp_path):
    path = write(tmp_path / "t.parquet", pixel_columns() | {"pixel3": ["0"] * 7})
    with pytest.raises(DataError, match="pixel3 has type string"):
        list(read_parquet_blocks(path, skip_bad_rows=True))


def test_images_of_another_size_are_skipped_and_listed(tmp_path):
    rows = [[1] * 784, [2] * 783, [3] * 784, []]
    path = write(tmp_path / "a.parquet", {"image": arrow.array(rows, arrow.list_(arrow.uint8()))})
    [*blocks] = read_parquet_blocks(path, rows_per_block=4, skip_bad_rows=True)
    assert [int(row) for block in blocks for row in block.rows] == [1, 3]
    assert [(bad.row, bad.reason.split(";")[0]) for block in blocks for bad in block.bad] == [
        (2, "row 2, column image: 783 values, expected 784"),
        (4, "row 4, column image: 0 values, expected 784"),
    ]
