"""Reading the CSV of Kaggle's Digit Recognizer."""

import gzip
import io
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digits_edge.runtime.datasets import load, read_blocks
from digits_edge.runtime.datasets.tables import csv_text
from digits_edge.runtime.datasets.tables.csv_dialect import recognise_dialect
from digits_edge.runtime.datasets.tables.csv_rows import RowParser
from digits_edge.runtime.errors import DataError, RowError

PIXELS = ",".join(f"pixel{index}" for index in range(784))
RNG = np.random.default_rng(0)


def csv(images, labels=None, *, newline="\n"):
    rows = images.reshape(len(images), 784).tolist()
    if labels is not None:
        rows = [[label, *row] for label, row in zip(labels.tolist(), rows, strict=True)]
    header = PIXELS if labels is None else "label," + PIXELS
    return "".join(line + newline for line in [header, *(",".join(map(str, row)) for row in rows)]).encode()


def images_of(content, **options):
    blocks = list(read_blocks(io.BytesIO(content), **options))
    return np.concatenate([block.images for block in blocks]) if blocks else np.empty((0, 28, 28), np.uint8)


def row(**changed):
    """A row of zeros in which the fields of some pixels are replaced."""
    fields = ["0"] * 784
    for name, text in changed.items():
        fields[int(name.removeprefix("pixel"))] = text
    return ",".join(fields)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(0, 30),
    size=st.integers(1, 40),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_a_csv_is_read_in_blocks_of_the_requested_size(seed, rows, size, newline):
    rng = np.random.default_rng(seed)
    images, labels = rng.integers(0, 256, (rows, 28, 28), dtype=np.uint8), rng.integers(0, 10, rows)
    blocks = list(read_blocks(io.BytesIO(csv(images, labels, newline=newline)), rows_per_block=size))
    assert [len(block.images) for block in blocks] == [size] * (rows // size) + [rows % size] * (rows % size > 0)
    assert [block.rows[0] for block in blocks] == list(range(1, rows + 1, size))
    if blocks:
        np.testing.assert_array_equal(np.concatenate([block.images for block in blocks]), images)
        np.testing.assert_array_equal(np.concatenate([block.labels for block in blocks]), labels)


def test_rows_across_chunk_boundaries_are_read_correctly():
    images = RNG.integers(0, 256, (700, 28, 28), dtype=np.uint8)  # 2 MB, many chunks
    np.testing.assert_array_equal(images_of(csv(images, newline="\r\n")), images)


IMAGES = RNG.integers(0, 256, (3, 28, 28), dtype=np.uint8)
PLAIN = csv(IMAGES)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.removesuffix(b"\n"),
        PLAIN + b"\n\r\n\n",
        b"\xef\xbb\xbf" + PLAIN,
        PLAIN.replace(PIXELS.encode(), b'"' + PIXELS.replace(",", '","').encode() + b'"'),
        gzip.compress(PLAIN),
        gzip.compress(PLAIN[:500]) + gzip.compress(PLAIN[500:]),
    ],
    ids=["no last newline", "blank last lines", "byte order mark", "quoted header", "gzip", "gzip in two members"],
)
def test_documented_variants_are_accepted(content):
    np.testing.assert_array_equal(images_of(content), IMAGES)


def test_a_header_without_rows_gives_no_blocks():
    assert len(images_of(PIXELS.encode())) == 0


def test_a_stream_is_not_closed():
    stream = io.BytesIO(PLAIN)
    list(read_blocks(stream))
    assert not stream.closed


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row(pixel7="x"), "column pixel7: 'x' is not an integer from 0 to 255"),
        (row(pixel0="-1"), "column pixel0: '-1' is not"),
        (row(pixel783="256"), "column pixel783: '256' is not"),
        (row(pixel3="999"), "column pixel3: '999' is not"),
        (row(pixel5="1.5"), "column pixel5: '1.5' is not"),
        (row(pixel9=""), "column pixel9: '' is not"),
        (row(pixel0=""), "column pixel0: '' is not"),
        (row(pixel9="1 2"), "column pixel9: '1 2' is not"),
        (row(pixel9="1_0"), "column pixel9: '1_0' is not"),
        (row(pixel9="nan"), "column pixel9: 'nan' is not"),
        (row(pixel9="1e400"), "column pixel9: '1e400' is not"),
        (row(pixel9='"1'), "column pixel9: '\"1' is not"),
        (row(pixel9="1\r"), r"column pixel9: '1\\r' is not"),
        (row(pixel2="y" * 5000), "column pixel2: 'yyyyyyyyyyyyyyyyyyyy' is not"),
        (row(pixel2="٣"), "column pixel2: '٣' is not"),
        (row()[:-2], "column pixel783: missing, the row has 783 of 784 fields"),
        (row() + ",0", "after column pixel783: 785 fields, expected 784"),
        ("", "column pixel0: missing, the row has 0 of 784 fields"),
    ],
)
@pytest.mark.parametrize("before", [0, 500])
def test_the_error_for_a_malformed_row_names_row_line_and_column(tmp_path, bad, message, before):
    path = tmp_path / "test.csv"
    path.write_bytes("\n".join([PIXELS, *[row()] * before, bad, row(), row()]).encode())
    with pytest.raises(DataError, match=rf"test\.csv: row {before + 1} \(line {before + 2}\), {message}") as caught:
        list(read_blocks(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("digits", [1, 2, 3, 4])
def test_every_number_is_read_or_refused_by_the_fast_parser(digits):
    """Numbers are added up in bytes, in which 256 is 0; leading zeros do not change a number of up to three digits."""
    parser = RowParser(recognise_dialect(PIXELS.encode(), "rows.csv", complete=True))
    for value in range(1100):
        field = str(value).zfill(digits)
        for pixel in ("pixel0", "pixel400", "pixel783"):
            table = parser.rows(f"{row(**{pixel: field})}\n".encode())
            if len(field) < 4 and value < 256:
                assert table is not None and table.sum() == table[0, int(pixel.removeprefix("pixel"))] == value
            else:
                assert table is None


def test_a_short_text_is_parsed_after_a_long_one():
    """Its rows must not contain what the reused memory has of the longer text."""
    parser = RowParser(recognise_dialect(PIXELS.encode(), "rows.csv", complete=True))
    long = parser.rows(f"{','.join(['255'] * 784)}\n".encode() * 40)
    short = parser.rows(f"{row(pixel5='7')}\n".encode())
    assert long is not None and (long == 255).all()
    assert short is not None and short[0, 5] == short.sum() == 7


def test_a_short_row_followed_by_a_long_row_is_an_error():
    content = "\n".join([PIXELS, row()[:-2], row() + ",0"]).encode()
    with pytest.raises(DataError, match=r"row 1 \(line 2\), column pixel783: missing"):
        images_of(content)


def test_a_label_above_9_is_an_error():
    with pytest.raises(DataError, match=r"row 1 \(line 2\), column label: '10' is not an integer from 0 to 9"):
        images_of(f"label,{PIXELS}\n10,{row()}\n".encode())


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "standard input is empty"),
        (PIXELS.replace("pixel300,", ""), "lacks the column pixel300; add it"),
        (PIXELS.replace("pixel300,", "pxl300,"), "lacks the column pixel300; add it"),
        ("a,b", "line 1: the header lacks the column pixel0 and 783 more"),
        ("label,Class," + PIXELS, "the columns 'label' and 'Class' could both be the label; remove one"),
        (PIXELS.replace("pixel1,", "pixel0,"), "the column pixel0 is there twice; remove one"),
        (PIXELS + ",pixel784", "there are pixels after pixel783; reduce the images to 28x28 pixels"),
    ],
)
def test_the_error_for_another_header_names_the_column(header, message):
    with pytest.raises(DataError, match=message):
        images_of(f"{header}\n".encode() if header else b"")


def test_a_truncated_gzip_file_is_a_data_error():
    with pytest.raises(DataError, match="standard input is a damaged gzip file"):
        images_of(gzip.compress(PLAIN)[:-20])


@given(data=st.data())
def test_a_corrupted_csv_gives_the_images_of_a_simple_parser_or_a_data_error(data):
    content = bytearray(PLAIN)
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(len(PIXELS) + 1, len(content) - 1))
        content[position : position + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"", b"0", b"9", b",", b"\n", b"\r\n", b"\r", b"-", b" ", b".", b"\xff", b"\0", b"25"])
        )
    try:
        found = images_of(bytes(content)).reshape(-1, 784).tolist()
    except DataError:
        return
    lines = bytes(content).decode().rstrip("\r\n").split("\n")[1:]
    assert found == [[float(field) for field in line.split(",")] for line in lines]


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_data_error(content):
    with pytest.raises(DataError):
        images_of(content)


class GeneratedRows(io.RawIOBase):
    """A stream that generates rows one at a time."""

    def __init__(self, rows):
        self.rest, self.rows = PIXELS.encode() + b"\n", rows

    def readable(self):
        return True

    def readinto(self, buffer):
        if not self.rest and self.rows:
            self.rest, self.rows = (row(pixel5="255") + "\n").encode(), self.rows - 1
        count = min(len(buffer), len(self.rest))
        buffer[:count], self.rest = self.rest[:count], self.rest[count:]
        return count


@pytest.mark.parametrize("labelled", [True, False])
def test_a_csv_with_images_on_disk_gives_the_same_data_set(tmp_path, labelled):
    labels = RNG.integers(0, 10, 1100).astype(np.uint8)
    content = csv(RNG.integers(0, 256, (1100, 28, 28), np.uint8), labels if labelled else None)
    (tmp_path / "rows.csv").write_bytes(content)
    in_memory = load(data=tmp_path / "rows.csv")
    mapped = load(data=tmp_path / "rows.csv", disk=tmp_path)
    assert mapped.sha256 == in_memory.sha256
    assert isinstance(mapped.images, np.memmap)
    np.testing.assert_array_equal(mapped.images, in_memory.images)
    assert (mapped.labels is None) == (not labelled)


def test_a_csv_without_rows_is_an_error_with_images_on_disk(tmp_path):
    (tmp_path / "rows.csv").write_text(PIXELS + "\n")
    with pytest.raises(DataError, match="no rows"):
        load(data=tmp_path / "rows.csv", disk=tmp_path)


def test_memory_use_does_not_depend_on_the_file_size():
    def peak_bytes(rows):
        tracemalloc.start()
        try:
            assert sum(len(block.images) for block in read_blocks(GeneratedRows(rows), rows_per_block=256)) == rows
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak_bytes(10)  # allocates what stays in memory between calls
    short, long = peak_bytes(1500), peak_bytes(6000)
    assert long < short * 1.1
    assert long < 12e6


def test_the_published_file_is_read_as_by_numpy(data_folder):
    path = data_folder / "kaggle" / "test.csv.gz"
    images = np.concatenate([block.images for block in read_blocks(path)])
    assert len(images) == 28_000
    for start in (0, 13_977):
        sample = np.loadtxt(path, np.uint8, delimiter=",", skiprows=1 + start, max_rows=500)
        np.testing.assert_array_equal(images[start : start + 500].reshape(-1, 784), sample)


def test_kaggle_has_a_labelled_and_an_unlabelled_split(data_folder, monkeypatch):
    monkeypatch.setenv("DIGITS_EDGE_DATA", str(data_folder))
    train, test = load("kaggle", "train"), load("kaggle", "test")
    assert (len(train), len(train.labels), len(test), test.labels) == (42_000, 42_000, 28_000, None)
    assert train.name == test.name == "kaggle"


@given(
    digits=st.lists(st.sampled_from(["0", "255", "7", "x", "256", "", "1,2", "1\r2"]), min_size=1, max_size=40),
    size=st.integers(1, 50),
    first_row=st.integers(1, 45),
)
def test_malformed_rows_are_skipped_and_the_other_rows_keep_their_numbers(digits, size, first_row):
    rest = ",0" * 783
    content = "\n".join([PIXELS, *(digit + rest for digit in digits)]).encode()
    blocks = list(read_blocks(io.BytesIO(content), rows_per_block=size, first_row=first_row, skip_bad_rows=True))
    good = [row for row, digit in enumerate(digits, start=1) if digit.isdigit() and int(digit) < 256]
    bad = [row for row in range(1, len(digits) + 1) if row not in good]
    assert [row for block in blocks for row in block.rows] == [row for row in good if row >= first_row]
    assert [each.row for block in blocks for each in block.bad] == [row for row in bad if row >= first_row]
    assert [int(image[0, 0]) for block in blocks for image in block.images] == [
        int(digits[row - 1]) for row in good if row >= first_row
    ]
    assert all(len(block.rows) == size for block in blocks[:-1])
    ends = [block.last_row for block in blocks]
    assert ends == sorted(set(ends))
    for block, end in zip(blocks, ends, strict=True):
        assert all(row <= end for row in [*block.rows, *(each.row for each in block.bad)])


def test_a_line_longer_than_any_row_is_one_malformed_row():
    zeros = ",".join(["0"] * 784)
    content = "\n".join([PIXELS, zeros, "9" * 200_000, zeros, "1," * 100_000, zeros, ""]).encode()
    [block] = read_blocks(io.BytesIO(content), skip_bad_rows=True)
    assert list(block.rows) == [1, 3, 5] and [bad.row for bad in block.bad] == [2, 4]


def test_a_row_error_can_be_pickled():
    error = RowError("test.csv", 3, "row 3 (line 4), column pixel0: missing")
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "test.csv: row 3 (line 4), column pixel0: missing"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_each_blank_line_between_rows_is_a_malformed_row(newline, monkeypatch):
    monkeypatch.setattr(csv_text, "_CHUNK_BYTES", 4096)
    zeros, blank = ",".join(["0"] * 784), 6000  # more than a chunk
    content = f"{PIXELS}{newline}{zeros}{newline * blank}{zeros}{newline}".encode()
    with pytest.raises(RowError, match="row 2 "):
        list(read_blocks(io.BytesIO(content)))
    blocks = list(read_blocks(io.BytesIO(content), skip_bad_rows=True))
    assert [row for block in blocks for row in block.rows] == [1, blank + 1]
    assert sum(len(block.bad) for block in blocks) == blank - 1
