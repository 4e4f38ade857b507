"""Images that are scaled to 0–1 are refused or converted, and nearly blank ones are neither."""

import io
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digits_edge.runtime.batch.table import batch_predict
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets import load, read_blocks
from digits_edge.runtime.datasets.synthetic_digits import draw_image
from digits_edge.runtime.errors import DataError, ImageError, RowError, UsageError
from digits_edge.runtime.pixel_scale import MIN_IMAGES_OF_PART, RangeCheck, is_scaled

HEADER = ",".join(f"pixel{index}" for index in range(784))
DIGITS = np.stack([draw_image(number % 10, np.random.default_rng(number)) for number in range(20)])
ONES = (DIGITS > 127).astype(np.uint8)
#: One pixel of a scanner's noise.
NEARLY_BLANK = np.zeros((28, 28), np.uint8)
NEARLY_BLANK[3, 3] = 1
BLANK = np.zeros((28, 28), np.uint8)

#: Ways in which other programs write numbers from 0 to 1.
WRITTEN = {
    "float64": lambda value: repr(value / 255),
    "float32": lambda value: str(np.float32(value / 255)),
    "scientific": lambda value: f"{value / 255:.18e}",
    "six digits": lambda value: f"{value / 255:.6f}",
}


def csv(rows, write=str, labels=None):
    lines = [",".join(map(write, row)) for row in np.reshape(rows, (-1, 784)).tolist()]
    if labels is not None:
        lines = [f"{label},{line}" for label, line in zip(labels, lines, strict=True)]
    return "\n".join([HEADER if labels is None else f"label,{HEADER}", *lines]).encode()


def read(content, **options):
    return np.concatenate([block.images for block in read_blocks(io.BytesIO(content), **options)])


@settings(max_examples=30, deadline=None)
@given(
    written=st.sampled_from([*WRITTEN]), seed=st.integers(0, 2**32 - 1), labelled=st.booleans(), size=st.integers(1, 9)
)
def test_scaled_pixels_are_read_as_the_pixels_before_scaling(written, seed, labelled, size):
    images = np.random.default_rng(seed).integers(0, 256, (6, 28, 28), np.uint8)
    content = csv(images, WRITTEN[written], range(6) if labelled else None)
    blocks = list(read_blocks(io.BytesIO(content), pixel_range=1, rows_per_block=size))
    np.testing.assert_array_equal(np.concatenate([block.images for block in blocks]), images)
    assert not labelled or [label for block in blocks for label in block.labels] == [*range(6)]


@given(
    rows=st.lists(st.sampled_from(["blank", "nearly blank", "ones", "digit"]), min_size=1, max_size=100),
    size=st.integers(1, 40),
)
@settings(max_examples=60, deadline=None)
def test_a_table_is_refused_exactly_if_two_rows_have_ink_and_no_pixel_is_above_1(rows, size):
    kinds = {"blank": BLANK, "nearly blank": NEARLY_BLANK, "ones": ONES[3], "digit": DIGITS[3]}
    content = csv([kinds[row] for row in rows])
    with_ink = [row != "blank" for row in rows]
    before = with_ink[: rows.index("digit")] if "digit" in rows else with_ink
    is_refused = sum(before) >= (MIN_IMAGES_OF_PART + size if "digit" in rows else 2)
    is_allowed = sum(before) < (MIN_IMAGES_OF_PART if "digit" in rows else 2)
    if is_refused:
        with pytest.raises(DataError, match=r"^standard input: no pixel is above 1.* --pixel-range 1"):
            read(content, rows_per_block=size)
    elif is_allowed:
        assert len(read(content, rows_per_block=size)) == len(rows)
    assert len(read(content, pixel_range=255)) == len(rows)


def test_whole_numbers_from_0_to_1_are_converted():
    np.testing.assert_array_equal(read(csv(ONES), pixel_range=1), ONES * 255)
    np.testing.assert_array_equal(read(csv(ONES, "{:.1f}".format), pixel_range=1), ONES * 255)
    with pytest.raises(DataError, match="no pixel is above 1"):
        read(csv(ONES, "{:.1f}".format))


@pytest.mark.parametrize(("text", "shown"), [("1.01", "1.01"), ("2", "2"), ("-0.1", "-0.1"), ("nan", "nan"), ("", "")])
@pytest.mark.parametrize("others", ["0", "0.5"])
def test_a_pixel_outside_0_to_1_is_an_error(text, shown, others):
    content = f"{HEADER}\n{','.join([others] * 784)}\n{','.join([others] * 783)},{text}\n".encode()
    with pytest.raises(RowError, match=rf"row 2 \(line 3\), column pixel783: '{shown}' is not a number from 0 to 1;"):
        read(content, pixel_range=1)


def test_a_fraction_is_an_error_without_pixel_range():
    with pytest.raises(RowError, match=r"row 1 \(line 2\), column pixel\d+: '0\.\d+' is not an integer from 0 to 255"):
        read(csv(DIGITS, WRITTEN["float64"]))


def test_a_part_of_a_table_needs_more_images():
    ones = np.repeat(ONES, 4, axis=0)
    check = RangeCheck(is_part=True)
    assert not check.add(ones[: MIN_IMAGES_OF_PART - 1]) and not check.at_end()
    assert check.add(ones[:1]) and check.at_end()
    assert len(read(csv(ONES), first_row=2)) == 19


def test_a_table_is_refused_before_any_output(tmp_path):
    source, target = tmp_path / "test.csv", tmp_path / "out.csv"
    source.write_bytes(csv(ONES))
    with pytest.raises(DataError, match=r"test\.csv: no pixel is above 1"):
        batch_predict(lambda images: pytest.fail("predicted"), source, target, rows_per_block=64)
    assert not target.exists()
    report = batch_predict(lambda images: np.eye(10, dtype=np.float32)[images[:, 0, 0]], source, target, pixel_range=1)
    assert report.rows == 20


def test_a_run_is_not_resumed_with_another_pixel_range(tmp_path):
    source, target = tmp_path / "test.csv", tmp_path / "out.csv"
    source.write_bytes(csv(ONES))
    with pytest.raises(ZeroDivisionError):
        batch_predict(lambda images: 1 / 0, source, target, pixel_range=1, resume_as="m")
    with pytest.raises(UsageError, match="another pixel range"):
        batch_predict(lambda images: 1 / 0, source, target, pixel_range=255, resume_as="m")


@pytest.mark.parametrize("kind", ["uint8", "float32", "bool"])
def test_archives_are_refused_or_converted(tmp_path, kind):
    path = tmp_path / "digits.npz"
    np.savez(path, images=ONES.astype(kind), labels=np.arange(20) % 10)
    with pytest.raises(DataError, match="pixel_range=1"):
        load(path)
    np.testing.assert_array_equal(load(path, pixel_range=1).images, ONES * 255)
    np.savez(path, images=ONES.astype(np.float32) * 2, labels=np.arange(20) % 10)
    with pytest.raises(DataError, match="not from 0 to 1"):
        load(path, pixel_range=1)


@pytest.mark.parametrize("kind", ["float32", "float64", "int64", "uint8"])
def test_parquet_is_refused_or_converted(tmp_path, kind):
    arrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")

    from digits_edge.runtime.datasets.tables.parquet import read_parquet_blocks

    path, pixels = tmp_path / "digits.parquet", ONES.reshape(-1, 784).astype(kind)
    for columns in (
        {f"pixel{index}": pixels[:, index] for index in range(784)},
        {"image": [*pixels]},
        {"image": [row.tobytes() for row in pixels.astype(np.uint8)]},
    ):
        parquet.write_table(arrow.table(columns), path)
        with pytest.raises(DataError, match="no pixel is above 1"):
            list(read_parquet_blocks(path))
        [block] = read_parquet_blocks(path, pixel_range=1)
        np.testing.assert_array_equal(block.images, ONES * 255)
    parquet.write_table(arrow.table({"image": [*(pixels.astype(np.float64) * 1.5)]}), path)
    for pixel_range, expected in (
        (1, "1.5 is not a number from 0 to 1"),
        (None, "1.5 is not an integer from 0 to 255"),
    ):
        with pytest.raises(RowError, match=expected):
            list(read_parquet_blocks(path, pixel_range=pixel_range))


@pytest.fixture(scope="module")
def classifier():
    with Classifier("edge-int8", provider="cpu", threads=1) as opened:
        yield opened


def test_a_batch_scaled_to_0_to_1_is_refused(classifier):
    for images in (ONES, ONES[:2], ONES.reshape(-1, 784)):
        with pytest.raises(ImageError, match="probably scaled to 0–1; multiply them by 255, or pass pixel_range=1"):
            classifier.predict_batch(images)


def test_a_batch_scaled_to_0_to_1_is_converted(classifier):
    expected = classifier.predict_batch(DIGITS)
    for images in (DIGITS / 255, (DIGITS / 255).astype(np.float32), (DIGITS / np.float32(255)).reshape(-1, 784)):
        np.testing.assert_array_equal(classifier.predict_batch(images, pixel_range=1), expected)
    binary = classifier.predict_batch(ONES * 255)
    for images in (ONES, ONES.astype(bool), ONES.astype(np.int64)):
        np.testing.assert_array_equal(classifier.predict_batch(images, pixel_range=1), binary)


@pytest.mark.parametrize("images", [DIGITS, DIGITS.astype(np.float64), np.full((2, 28, 28), np.nan), -ONES.astype(int)])
def test_a_batch_that_is_not_from_0_to_1_is_refused(classifier, images):
    with pytest.raises(ImageError, match="not numbers from 0 to 1"):
        classifier.predict_batch(images, pixel_range=1)


@pytest.mark.parametrize(
    "images",
    [
        np.stack([BLANK] * 5),
        NEARLY_BLANK[np.newaxis],
        np.stack([BLANK, NEARLY_BLANK, BLANK]),
        np.stack([NEARLY_BLANK, NEARLY_BLANK, DIGITS[0]]),
        ONES[:1],
        np.empty((0, 28, 28), np.uint8),
    ],
    ids=["blank", "nearly blank", "one nearly blank among blank", "a digit", "one image", "none"],
)
def test_blank_and_nearly_blank_images_are_allowed(classifier, images):
    assert len(classifier.predict_batch(images)) == len(images)


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(0, 2**32))
def test_the_order_of_the_images_does_not_matter(levels, seed):
    images = [np.full((28, 28), level, np.uint8) for level in levels]
    before = is_scaled(np.array(images).reshape(-1, 28, 28))
    random.Random(seed).shuffle(images)
    assert is_scaled(np.array(images).reshape(-1, 28, 28)) == before
    assert before == (max(levels, default=0) <= 1 and levels.count(1) >= 2)
