"""Reading idx files and finding sets of them."""

import gzip
import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_edge.runtime.datasets import CATALOGUE, Dataset, load
from digits_edge.runtime.errors import DataError, UsageError

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
LABELS = np.arange(20, dtype=np.uint8) % 10


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_set(folder, prefixes=("train", "t10k"), *, pattern="{}-{}-idx{}-ubyte", pack=bytes, suffix=""):
    folder.mkdir(parents=True, exist_ok=True)
    for prefix in prefixes:
        (folder / (pattern.format(prefix, "images", 3) + suffix)).write_bytes(pack(idx(IMAGES)))
        (folder / (pattern.format(prefix, "labels", 1) + suffix)).write_bytes(pack(idx(LABELS)))
    return folder


@pytest.fixture(autouse=True)
def no_cache_and_no_folder_of_sets(monkeypatch, tmp_path):
    monkeypatch.setenv("DIGITS_EDGE_CACHE", str(tmp_path / "empty-cache"))
    monkeypatch.delenv("DIGITS_EDGE_DATA", raising=False)


@pytest.mark.parametrize("pattern", ["{}-{}-idx{}-ubyte", "{}-{}.idx{}-ubyte"])
@pytest.mark.parametrize(("pack", "suffix"), [(bytes, ""), (gzip.compress, ".gz")])
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_spelling_of_the_files_is_found(tmp_path, pattern, pack, suffix, split):
    folder = write_set(tmp_path / "digits", pattern=pattern, pack=pack, suffix=suffix)
    found = load(folder, split)
    np.testing.assert_array_equal(found.images, IMAGES)
    np.testing.assert_array_equal(found.labels, LABELS)
    assert (found.name, found.licence, found.class_names) == ("digits", "unknown", tuple("0123456789"))


def test_one_file_of_images_takes_the_labels_beside_it_for_any_split(tmp_path):
    path = write_set(tmp_path, ["train"]) / "train-images-idx3-ubyte"
    assert load(path, "train").sha256 == load(path, "test").sha256


def test_data_may_be_a_folder_that_holds_sets_by_name(tmp_path):
    write_set(tmp_path / "mnist")
    write_set(tmp_path / "fashion-mnist")
    assert load(data=tmp_path).name == "mnist"
    fashion = load("fashion-mnist", data=tmp_path)
    assert (fashion.name, fashion.class_names[0], fashion.licence) == ("fashion-mnist", "T-shirt/top", "unknown")


def test_the_environment_names_the_folder_of_sets(tmp_path, monkeypatch):
    write_set(tmp_path / "mnist")
    monkeypatch.setenv("DIGITS_EDGE_DATA", str(tmp_path))
    assert len(load("mnist", "test")) == 20


def test_an_environment_that_names_no_folder_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITS_EDGE_DATA", str(tmp_path / "gone"))
    with pytest.raises(DataError, match=r"DIGITS_EDGE_DATA names .*gone, which is not a folder"):
        load("mnist")


def test_a_missing_split_says_which_files_would_be_it(tmp_path):
    write_set(tmp_path, ["train"])
    with pytest.raises(DataError, match=r"has no test split: neither t10k-images-idx3-ubyte nor test\.csv"):
        load(tmp_path, "test")


def test_missing_labels_are_named(tmp_path):
    (write_set(tmp_path, ["train"]) / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"has no labels: train-labels-idx1-ubyte .* is not beside it"):
        load(tmp_path)


def test_a_path_that_is_not_there_lists_the_names(tmp_path):
    with pytest.raises(DataError, match=r"no such file or folder; .* mnist, fashion-mnist, kaggle"):
        load(tmp_path / "gone")


def test_another_split_is_wrong_usage(tmp_path):
    with pytest.raises(UsageError, match="'validation' is not a split"):
        load(tmp_path, "validation")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(IMAGES)[:-1], r"train-images-idx3-ubyte has 1 bytes missing"),
        (idx(IMAGES) + b"\0", r"train-images-idx3-ubyte has bytes left over"),
        (idx(LABELS), "not an idx3 file of bytes"),
        (b"", "not an idx3 file of bytes"),
        (idx(IMAGES[:, :20]), "images of 20x28; only 28x28"),
        (gzip.compress(idx(IMAGES))[:-9], "damaged gzip file"),
        (idx(IMAGES[:19]), "19 images but labels of shape"),
    ],
)
def test_a_malformed_file_is_named_with_the_mend(tmp_path, content, message):
    (write_set(tmp_path) / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_label_above_9_is_named(tmp_path):
    labels = LABELS.copy()
    labels[3] = 10
    (write_set(tmp_path) / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    with pytest.raises(DataError, match="label 3 is 10"):
        load(tmp_path)


@given(data=st.data())
def test_a_mutated_file_is_a_dataset_or_a_data_error(tmp_path_factory, data):
    compress = data.draw(st.booleans())
    content = bytearray(gzip.compress(idx(IMAGES[:2])) if compress else idx(IMAGES[:2]))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, min(60, len(content)) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(1, len(content))) :]
    folder = tmp_path_factory.getbasetemp() / "mutated"
    path = write_set(folder, ["train"]) / "train-images-idx3-ubyte"
    path.write_bytes(content)
    message = ""
    try:
        assert isinstance(load(path), Dataset)
    except DataError as error:
        message = str(error)
    assert "\n" not in message


@pytest.mark.parametrize(("split", "count"), [("train", 60_000), ("test", 10_000)])
@pytest.mark.parametrize(("name", "licence"), [("mnist", "CC-BY-SA-3.0"), ("fashion-mnist", "MIT")])
def test_the_real_sets_are_known_by_their_content(data_folder, name, licence, split, count):
    found = load(data_folder / name, split)
    assert (found.name, found.licence, len(found), len(found.labels)) == (name, licence, count, count)


def test_what_would_fill_the_memory_is_not_unpacked(tmp_path):
    """A quarter of a megabyte that unpacks to 200 of blank images; the header alone is read."""
    write_set(tmp_path)
    bomb = struct.pack(">BBBB3I", 0, 0, 8, 3, 256_000, 28, 28) + bytes(256_000 * 784)
    (tmp_path / "train-images-idx3-ubyte").unlink()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(bomb))
    with pytest.raises(DataError, match=r"states 256000 items, for which its \d+ bytes are too few"):
        load(tmp_path)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(bomb[:1000])
    with pytest.raises(DataError, match="states 256000 items, for which its 1000 bytes are too few"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_a_known_set_has_the_four_files_of_its_publisher(name):
    files = {split: [file.name for file in known] for split, known in CATALOGUE[name].files.items()}
    assert files == {
        "train": ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"],
        "test": ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"],
    }
    assert len({file.sha256 for known in CATALOGUE[name].files.values() for file in known}) == 4


def test_a_part_of_a_set_has_a_name_and_sum_of_its_own():
    whole = Dataset("squares", IMAGES, LABELS, tuple("0123456789"), "MIT", "0")
    part = whole.taken(np.array([3, 1]), "validation")
    np.testing.assert_array_equal(part.images, IMAGES[[3, 1]])
    assert (part.name, part.labels.tolist(), part.licence) == ("squares validation", [3, 1], "MIT")
    assert part.sha256 == hashlib.sha256(IMAGES[[3, 1]].tobytes() + bytes([3, 1])).hexdigest()
