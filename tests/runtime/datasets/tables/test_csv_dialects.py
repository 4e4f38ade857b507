"""A table of images is read the same in every dialect that other programs write."""

import bz2
import csv as csv_module
import gzip
import io
import zipfile
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digits_edge.runtime.datasets import load, read_blocks
from digits_edge.runtime.datasets.opening import opened
from digits_edge.runtime.errors import DataError

KAGGLE = [f"pixel{index}" for index in range(784)]
NAMES = {
    "kaggle": KAGGLE,
    "from 1": [f"Pixel{number}" for number in range(1, 785)],
    "numbers": [str(number) for number in range(784)],
    "row and column": [f"{row}x{column}" for row in range(1, 29) for column in range(1, 29)],
}
#: Ways in which other programs write the value of a pixel.
NUMBERS = {
    "integers": str,
    "floats": lambda value: f"{value:.1f}",
    "scientific": lambda value: f"{value:.18e}",
    "zeros in front": lambda value: f"{value:04d}",
}


@dataclass(frozen=True)
class Writing:
    """A dialect."""

    delimiter: str = ","
    quoting: int = csv_module.QUOTE_MINIMAL
    newline: str = "\n"
    encoding: str = "utf-8"
    announced: bool = False
    header: str | None = "kaggle"
    label: str = "label"
    label_last: bool = False
    index: str | None = None
    number: str = "integers"
    final_newlines: int = 1
    order: int | None = None


def write(images, labels, how: Writing) -> bytes:
    """Write a table with Python's csv module."""
    pixels = np.arange(784) if how.order is None else np.random.default_rng(how.order).permutation(784)
    rows = [[NUMBERS[how.number](value) for value in image] for image in images.reshape(-1, 784)[:, pixels].tolist()]
    header = [NAMES[how.header or "kaggle"][pixel] for pixel in pixels]
    if labels is not None:
        at = 784 if how.label_last else 0
        header.insert(at, how.label)
        for row, label in zip(rows, labels.tolist(), strict=True):
            row.insert(at, label)
    if how.index is not None:
        header.insert(0, how.index)
        for number, row in enumerate(rows, start=1000):
            row.insert(0, number)
    text = io.StringIO()
    if how.announced:
        text.write(f"sep={how.delimiter}{how.newline}")
    writer = csv_module.writer(text, delimiter=how.delimiter, quoting=how.quoting, lineterminator=how.newline)
    writer.writerows([*([] if how.header is None else [header]), *rows])
    written = text.getvalue().rstrip("\r\n") + how.newline * how.final_newlines
    return written.encode(how.encoding)


def read(content, **options):
    blocks = list(read_blocks(io.BytesIO(content), **options))
    labels = [block.labels for block in blocks if block.labels is not None]
    return np.concatenate([block.images for block in blocks]), np.concatenate(labels) if labels else None


def random_table(seed, rows):
    """Images whose border is 0, as that of handwritten digits, and labels of which the first is not 0."""
    rng = np.random.default_rng(seed)
    images = np.zeros((rows, 28, 28), np.uint8)
    images[:, 1:-1, 1:-1] = rng.integers(0, 256, (rows, 26, 26))
    labels = rng.integers(0, 10, rows).astype(np.uint8)
    labels[0] = rng.integers(2, 10)
    return images, labels


def unzipped(content, name="test.csv", **others):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
        for other, text in others.items():
            archive.writestr(other, text)
    return stream.getvalue()


PACKERS = {"plain": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "zip": unzipped}
WRITINGS = st.builds(
    Writing,
    delimiter=st.sampled_from(",;\t| "),
    quoting=st.sampled_from([csv_module.QUOTE_MINIMAL, csv_module.QUOTE_ALL, csv_module.QUOTE_NONNUMERIC]),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]),
    header=st.sampled_from([*NAMES, None]),
    label=st.sampled_from(["label", "Label", "class", "target"]),
    label_last=st.booleans(),
    index=st.sampled_from([None, "ImageId", "", "Unnamed: 0"]),
    number=st.sampled_from([*NUMBERS]),
    final_newlines=st.integers(0, 3),
)


@settings(max_examples=50, deadline=None)
@given(
    how=WRITINGS,
    packed=st.sampled_from([*PACKERS]),
    labelled=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 15),
    announced=st.booleans(),
)
def test_a_table_is_read_the_same_in_every_dialect(how, packed, labelled, seed, rows, announced):
    images, labels = random_table(seed, rows)
    if how.delimiter == " ":  # an unquoted empty name would be lost
        how = replace(how, index=None if how.index is None else "index")
    if how.header is None:  # two columns without names are not certain
        how = replace(how, index=None)
    how = replace(how, announced=announced and how.delimiter != " ")
    content = PACKERS[packed](write(images, labels if labelled else None, how))
    found_images, found_labels = read(content)
    np.testing.assert_array_equal(found_images, images)
    assert (found_labels is None) == (not labelled)
    assert found_labels is None or found_labels.tolist() == labels.tolist()


@settings(max_examples=20, deadline=None)
@given(how=WRITINGS, seed=st.integers(0, 2**32 - 1), labelled=st.booleans())
def test_columns_in_any_order_are_sorted_by_their_names(how, seed, labelled):
    images, labels = random_table(seed, 12)
    how = replace(
        how, header="from 1" if how.header in {"row and column", None} else how.header, index=None, order=seed
    )
    found_images, found_labels = read(write(images, labels if labelled else None, how))
    np.testing.assert_array_equal(found_images, images)
    assert (found_labels is None) == (not labelled)


@settings(max_examples=25, deadline=None)
@given(how=WRITINGS, seed=st.integers(0, 2**32 - 1), bad=st.sampled_from(["x", "-1", "256", "1.5", "", '"']))
def test_malformed_rows_keep_their_numbers_in_every_dialect(how, seed, bad):
    rows = 12
    images, labels = random_table(seed, rows)
    how = replace(how, encoding="utf-8", newline="\n", quoting=csv_module.QUOTE_MINIMAL, index=None, delimiter=";")
    lines = write(images, labels, how).decode().rstrip("\n").split("\n")
    before = len(lines) - rows
    fields = lines[before + 6].split(";")
    fields[300] = bad
    lines[before + 6] = ";".join(fields)
    content = "\n".join(lines).encode()
    with pytest.raises(DataError, match=rf"row 7 \(line {7 + before}\), column \S+: "):
        read(content)
    [block] = read_blocks(io.BytesIO(content), skip_bad_rows=True)
    assert [each.row for each in block.bad] == [7]
    assert block.rows.tolist() == [row for row in range(1, rows + 1) if row != 7]
    np.testing.assert_array_equal(block.images, np.delete(images, 6, axis=0))


IMAGES, LABELS = random_table(0, 12)


@pytest.mark.parametrize("index", ["a,b", "x;y"])
def test_other_columns_are_not_read(index):
    content = ",".join([*KAGGLE[:300], "weight", *KAGGLE[300:], "name"]) + "\n"
    rows = IMAGES.reshape(-1, 784).tolist()
    content += "".join(",".join(map(str, [*row[:300], "0.25", *row[300:], "abc"])) + "\n" for row in rows)
    np.testing.assert_array_equal(read(content.encode())[0], IMAGES)


def test_decimal_commas_are_read_after_semicolons():
    content = write(IMAGES, None, Writing(delimiter=";", number="floats", header=None)).replace(b".", b",")
    np.testing.assert_array_equal(read(content)[0], IMAGES)


def test_padded_numbers_are_read():
    text = io.BytesIO()
    np.savetxt(text, IMAGES.reshape(-1, 784), fmt="%4d")
    np.testing.assert_array_equal(read(text.getvalue())[0], IMAGES)
    text = io.BytesIO()
    np.savetxt(text, IMAGES.reshape(-1, 784))
    np.testing.assert_array_equal(read(text.getvalue())[0], IMAGES)


def without_header(first=(), last=()):
    """The table without header, with columns before and after the pixels."""
    rows = IMAGES.reshape(-1, 784).tolist()
    for number, row in enumerate(rows):
        row[:0] = first[number : number + 1]
        row += last[number : number + 1]
    rows = rows[: max(len(first), len(last)) or None]
    return "\n".join(",".join(map(str, row)) for row in rows).encode()


def test_an_index_without_header_is_recognised():
    images, labels = read(without_header(first=range(12)))
    np.testing.assert_array_equal(images, IMAGES)
    assert labels is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (";".join(KAGGLE[:783]).encode(), "line 1: 783 semicolon-separated columns, but the header lacks"),
        ("\t".join(["0"] * 783).encode(), "line 1: 783 tab-separated columns, but there is no header and 783 numbers"),
        (",".join(["0"] * 783).encode(), "line 1: there is no header and 783 numbers, expected 784, or 785 with label"),
        (",".join(["0"] * 785).encode(), "of which the first or the last could be label; add the header"),
        (without_header(first=range(2), last=(0, 0)), "there is no header and 786 numbers"),
        (without_header(first=range(10)), "of which the first or the last could be label; add the header"),
        (b"pixel0:pixel1", "line 1: one column, expected .*; use commas"),
        (b"\n" + ",".join(KAGGLE).encode(), "line 1: the line is blank"),
        ("\n".join(["sep=;", ",".join(KAGGLE)]).encode(), "line 2: one column"),
        (write(IMAGES, None, Writing(encoding="utf-16"))[:-1], "is not valid UTF-16-LE text; save it as UTF-8"),
        (b"\xff\xfe\x00\xd8\x00\x00", "is not valid UTF-16-LE text; save it as UTF-8"),
        (",".join(NAMES["row and column"][::-1]).encode(), "lacks the column pixel0 and 783 more"),
        (",".join(KAGGLE + NAMES["numbers"]).encode(), "two sets of columns could be the pixels"),
        (b"PAR1" + bytes(20), "is a Parquet file; name it .parquet"),
        (b"<!DOCTYPE html>", "is a web page, possibly a login page; download the file again"),
        (b"\x89PNG\r\n\x1a\n", "is a picture; pass its folder"),
        (b"\xff\xd8\xff\xe0", "is a picture; pass its folder"),
        (b"version https://git-lfs.github.com/spec/v1\n", "get the file with `git lfs pull`"),
        (b"\xfd7zXZ\x00", "is compressed with xz; unpack it first"),
        (b'[{"pixel0": 1}]', "is a JSON file; save it as CSV"),
        (unzipped(b"", **{"[Content_Types].xml": b""}), "is an Excel workbook"),
        (unzipped(b"", train=b"", sample=b""), r"is an archive of 3 files \(test.csv, train, sample\); unpack it"),
        (unzipped(bytes(70_000_000)), "decompression bomb: test.csv unpacks to 70,000,000 bytes from"),
        (unzipped(write(IMAGES, None, Writing()))[:-30], "is a zip archive that cannot be read"),
        (bz2.compress(write(IMAGES, None, Writing()))[:-20], "is a damaged bzip2 file"),
        (bz2.compress(b"x")[:8] + b"damaged!" * 9, "is a damaged bzip2 file"),
        (b"9" * 100_000, "line 1"),
    ],
)  # fmt: skip
def test_the_error_names_the_cause(content, message):
    with pytest.raises(DataError, match=message) as caught:
        read(content)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("standard input")


def test_a_zip_archive_with_a_damaged_file_is_an_error():
    content = bytearray(unzipped(write(IMAGES, None, Writing())))
    content[500] ^= 0xFF
    with pytest.raises(DataError, match=r"damaged zip file|row"):
        read(bytes(content))


@pytest.mark.parametrize("name", ["__MACOSX/._test.csv", "._test.csv", ".DS_Store", "data/Thumbs.db", "desktop.ini"])
def test_files_that_systems_add_to_an_archive_are_ignored(name):
    content = unzipped(write(IMAGES, None, Writing()), **{name: b"x"})
    np.testing.assert_array_equal(read(content)[0], IMAGES)


class Pipe(io.RawIOBase):
    """A stream that is not seekable."""

    def __init__(self, content):
        self.rest = content

    def readable(self):
        return True

    def readinto(self, buffer):
        count = min(len(buffer), len(self.rest))
        buffer[:count], self.rest = self.rest[:count], self.rest[count:]
        return count


def test_a_zip_archive_in_a_pipe_is_refused_with_the_remedy():
    with pytest.raises(DataError, match="cannot be read from a pipe; unpack it with `unzip -p`"):
        list(read_blocks(Pipe(unzipped(write(IMAGES, None, Writing())))))


@pytest.mark.parametrize("packed", [*PACKERS])
def test_progress_reaches_the_total(tmp_path, packed):
    path, calls = tmp_path / "test.csv", []
    path.write_bytes(PACKERS[packed](write(IMAGES, None, Writing())))
    list(read_blocks(path, progress=lambda *call: calls.append(call)))
    assert calls[-1][0] == calls[-1][1]


def test_the_stream_of_an_archive_is_not_closed():
    stream = io.BytesIO(unzipped(b"text"))
    with opened(stream) as plain:
        assert plain.read() == b"text"
    assert not stream.closed


@pytest.mark.parametrize(
    ("name", "packed"), [("train.csv.zip", "zip"), ("train.csv.bz2", "bzip2"), ("train.tsv", "plain")]
)
def test_a_data_set_is_loaded_from_any_dialect(tmp_path, name, packed):
    how = Writing(delimiter="\t" if name.endswith(".tsv") else ";", header="row and column", label_last=True)
    (tmp_path / name).write_bytes(PACKERS[packed](write(IMAGES, LABELS, how)))
    data = load(tmp_path / name)
    np.testing.assert_array_equal(data.images, IMAGES)
    assert data.labels.tolist() == LABELS.tolist()
    if name.startswith("train.csv"):
        assert len(load(tmp_path, "train")) == 12


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_rows_of_long_numbers_are_read_in_every_encoding(encoding):
    how = Writing(encoding=encoding, number="scientific", header=None, quoting=csv_module.QUOTE_ALL)
    np.testing.assert_array_equal(read(write(IMAGES, None, how))[0], IMAGES)
