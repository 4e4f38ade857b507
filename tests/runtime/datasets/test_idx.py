"""Reading idx files, and finding data sets by name and folder."""

import gzip
import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_edge.runtime.datasets import CATALOGUE, Dataset, load
from digits_edge.runtime.errors import DataError, UsageError
from digits_edge.runtime.model.image_input import ImageInput

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
def empty_cache_and_no_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("DIGITS_EDGE_CACHE", str(tmp_path / "empty-cache"))
    monkeypatch.delenv("DIGITS_EDGE_DATA", raising=False)


@pytest.mark.parametrize("pattern", ["{}-{}-idx{}-ubyte", "{}-{}.idx{}-ubyte"])
@pytest.mark.parametrize(("pack", "suffix"), [(bytes, ""), (gzip.compress, ".gz")])
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_variant_of_the_file_names_is_found(tmp_path, pattern, pack, suffix, split):
    folder = write_set(tmp_path / "digits", pattern=pattern, pack=pack, suffix=suffix)
    found = load(folder, split)
    np.testing.assert_array_equal(found.images, IMAGES)
    np.testing.assert_array_equal(found.labels, LABELS)
    assert (found.name, found.licence, found.class_names) == ("digits", "unknown", tuple("0123456789"))


def test_an_images_file_is_read_with_its_labels_for_either_split(tmp_path):
    path = write_set(tmp_path, ["train"]) / "train-images-idx3-ubyte"
    assert load(path, "train").sha256 == load(path, "test").sha256


def test_data_may_be_a_folder_of_data_sets(tmp_path):
    write_set(tmp_path / "mnist")
    write_set(tmp_path / "fashion-mnist")
    assert load(data=tmp_path).name == "mnist"
    fashion = load("fashion-mnist", data=tmp_path)
    assert (fashion.name, fashion.class_names[0], fashion.licence) == ("fashion-mnist", "T-shirt/top", "unknown")


def test_the_environment_variable_sets_the_data_folder(tmp_path, monkeypatch):
    write_set(tmp_path / "mnist")
    monkeypatch.setenv("DIGITS_EDGE_DATA", str(tmp_path))
    assert len(load("mnist", "test")) == 20


def test_an_environment_variable_without_a_folder_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITS_EDGE_DATA", str(tmp_path / "gone"))
    with pytest.raises(DataError, match=r"DIGITS_EDGE_DATA is .*gone, which is not a folder"):
        load("mnist")


def test_the_error_for_a_missing_split_lists_the_expected_files(tmp_path):
    write_set(tmp_path, ["train"])
    with pytest.raises(DataError, match=r"has no test split: it lacks t10k-images-idx3-ubyte and test\.csv"):
        load(tmp_path, "test")


def test_the_error_for_missing_labels_names_the_file(tmp_path):
    (write_set(tmp_path, ["train"]) / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"has no labels: train-labels-idx1-ubyte .* is not in its folder; add it"):
        load(tmp_path)


def test_the_error_for_a_missing_path_lists_the_names(tmp_path):
    with pytest.raises(DataError, match=r"no such file or folder; .* mnist, fashion-mnist, kaggle"):
        load(tmp_path / "gone")


def test_an_unknown_split_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="'validation' is not a split"):
        load(tmp_path, "validation")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(IMAGES)[:-1], r"train-images-idx3-ubyte: 15679 bytes of data, expected 15680 for shape \(20, 28, 28\)"),
        (idx(IMAGES) + b"\0", r"train-images-idx3-ubyte: more than 15680 bytes of data, expected 15680"),
        (idx(LABELS), "not an idx3 file of unsigned bytes"),
        (b"", "not an idx3 file of unsigned bytes"),
        (idx(IMAGES[:, :0]), "images are 0x28; use images with sides from 1 to 1024"),
        (gzip.compress(idx(IMAGES))[:-9], "damaged gzip file"),
        (idx(IMAGES[:19]), r"labels of shape \(20,\) for 19 images"),
    ],
)
def test_the_error_for_a_malformed_file_names_the_file(tmp_path, content, message):
    (write_set(tmp_path) / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_label_above_9_is_an_error(tmp_path):
    labels = LABELS.copy()
    labels[3] = 10
    (write_set(tmp_path) / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    with pytest.raises(DataError, match="label 3 is 10, expected 0 to 9"):
        load(tmp_path)


@given(data=st.data())
def test_a_corrupted_file_gives_a_dataset_or_a_data_error(tmp_path_factory, data):
    compress = data.draw(st.booleans())
    content = bytearray(gzip.compress(idx(IMAGES[:2])) if compress else idx(IMAGES[:2]))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, min(60, len(content)) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(1, len(content))) :]
    folder = tmp_path_factory.getbasetemp() / "corrupted"
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
def test_the_published_data_sets_are_identified_by_their_content(data_folder, name, licence, split, count):
    found = load(data_folder / name, split)
    assert (found.name, found.licence, len(found), len(found.labels)) == (name, licence, count, count)


def test_a_decompression_bomb_is_not_unpacked(tmp_path):
    """A file of 0.25 MB that would unpack to 200 MB of blank images; only its header is read."""
    write_set(tmp_path)
    bomb = struct.pack(">BBBB3I", 0, 0, 8, 3, 256_000, 28, 28) + bytes(256_000 * 784)
    (tmp_path / "train-images-idx3-ubyte").unlink()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(bomb))
    with pytest.raises(DataError, match=r"states 256000 items, too many for a file of \d+ bytes"):
        load(tmp_path)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(bomb[:1000])
    with pytest.raises(DataError, match="states 256000 items, too many for a file of 1000 bytes"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_a_catalogue_entry_has_the_four_published_files(name):
    files = {split: [file.name for file in known] for split, known in CATALOGUE[name].files.items()}
    assert files == {
        "train": ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"],
        "test": ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"],
    }
    assert len({file.sha256 for known in CATALOGUE[name].files.values() for file in known}) == 4


def test_a_part_of_a_data_set_has_its_own_name_and_hash():
    complete = Dataset("squares", IMAGES, LABELS, tuple("0123456789"), "MIT", "0")
    part = complete.taken(np.array([3, 1]), "validation")
    np.testing.assert_array_equal(part.images, IMAGES[[3, 1]])
    assert (part.name, part.labels.tolist(), part.licence) == ("squares validation", [3, 1], "MIT")
    assert part.sha256 == hashlib.sha256(IMAGES[[3, 1]].tobytes() + bytes([3, 1])).hexdigest()


def test_images_must_have_the_shape_of_their_record():
    with pytest.raises(DataError, match=r"squares: the images have shape .*, but their record says 32×32×3"):
        Dataset("squares", IMAGES, LABELS, tuple("0123456789"), "MIT", "0", image=ImageInput(32, 32, 3))


@pytest.mark.parametrize(("name", "step"), [("mnist", "digit"), ("fashion-mnist", "object")])
def test_a_catalogue_entry_states_its_preprocessing_steps(data_folder, name, step):
    found = load(data_folder / name, "test")
    assert (found.image, [step.step for step in found.preprocessing]) == (ImageInput(), [step])
