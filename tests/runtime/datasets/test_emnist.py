"""Reading EMNIST in idx format."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_edge.runtime.datasets import load
from digits_edge.runtime.datasets.options import ReadingOptions
from digits_edge.runtime.errors import DataError

CLASSES = {"letters": 26, "balanced": 47, "bymerge": 47, "byclass": 62, "digits": 10, "mnist": 10}


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write(folder, variant, labels, splits=("train", "test"), *, seed=0, gz=False):
    """Write the files of a variant, and return the images as they are to be read."""
    folder.mkdir(parents=True, exist_ok=True)
    upright = np.random.default_rng(seed).integers(0, 256, (len(labels), 28, 28), dtype=np.uint8)
    for split in splits:
        for name, array in (("images-idx3", upright.transpose(0, 2, 1)), ("labels-idx1", np.array(labels, np.uint8))):
            path = folder / f"emnist-{variant}-{split}-{name}-ubyte{'.gz' if gz else ''}"
            content = idx(np.ascontiguousarray(array))
            path.write_bytes(gzip.compress(content) if gz else content)
    return upright


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("variant", CLASSES)
def test_every_variant_is_read_upright(tmp_path, variant, split, gz):
    first = 1 if variant == "letters" else 0
    labels = [first, first + CLASSES[variant] - 1, first + 3]
    upright = write(tmp_path, variant, labels, gz=gz)
    found = load(tmp_path, split)
    np.testing.assert_array_equal(found.images, upright)
    assert found.labels.tolist() == [label - first for label in labels]
    assert (found.name, len(found.class_names)) == (f"emnist-{variant}", CLASSES[variant])
    assert (found.image.polarity, found.preprocessing[0].step) == ("white-on-black", "digit")


def test_the_classes_of_the_variants_are_named(tmp_path):
    for variant in CLASSES:
        write(tmp_path / variant, variant, [1])
    names = {variant: "".join(load(tmp_path / variant).class_names) for variant in CLASSES}
    assert names["letters"] == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert names["balanced"] == names["bymerge"] == "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"
    assert names["byclass"] == "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize("name", ["emnist-letters-mapping.txt", "mapping.txt"])
def test_a_mapping_names_the_classes(tmp_path, name):
    write(tmp_path, "letters", [1, 3, 2])
    (tmp_path / name).write_text("1 228 196\n2 246\n\n3 252\n")
    found = load(tmp_path)
    assert (found.class_names, found.labels.tolist()) == (("ä", "ö", "ü"), [0, 2, 1])


def test_one_of_several_variants_is_read_by_its_name(tmp_path):
    write(tmp_path, "letters", [1])
    upright = write(tmp_path, "balanced", [46], seed=1)
    with pytest.raises(DataError, match=r"has emnist-balanced, emnist-letters; name one of them: .*emnist-balanced"):
        load(tmp_path)
    found = load(tmp_path / "emnist-balanced", "test")
    assert (found.name, found.labels.tolist()) == ("emnist-balanced", [46])
    np.testing.assert_array_equal(found.images, upright)
    by_file = load(tmp_path / "emnist-balanced-test-images-idx3-ubyte")
    assert by_file.sha256 == found.sha256
    with pytest.raises(DataError, match="emnist-byclass: no such file or folder"):
        load(tmp_path / "emnist-byclass")


def test_other_files_are_transposed_on_request(tmp_path):
    upright = write(tmp_path, "digits", [3])
    for name in ("images-idx3", "labels-idx1"):
        (tmp_path / f"emnist-digits-train-{name}-ubyte").rename(tmp_path / f"train-{name}-ubyte")
    np.testing.assert_array_equal(load(tmp_path).images, upright.transpose(0, 2, 1))
    np.testing.assert_array_equal(load(tmp_path, options=ReadingOptions(transposed=True)).images, upright)


def test_arrays_that_were_saved_from_emnist_are_not_transposed(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "emnist-digits.npz", images=images, labels=[0, 1])
    np.testing.assert_array_equal(load(tmp_path / "emnist-digits.npz").images, images)


def test_files_by_name_can_be_read_as_they_are(tmp_path):
    upright = write(tmp_path, "digits", [3])
    found = load(tmp_path, options=ReadingOptions(transposed=False))
    np.testing.assert_array_equal(found.images, upright.transpose(0, 2, 1))


@pytest.mark.parametrize(
    ("labels", "mapping", "message"),
    [
        ([0], None, "labels-idx1-ubyte has labels from 0 to 0, expected 1 to 26"),
        ([27], None, "labels-idx1-ubyte has labels from 27 to 27, expected 1 to 26"),
        ([1], b"1 65\n2", r"mapping.txt, line 2: expected a label and a code point, such as 10 65"),
        ([1], b"1 65\n2 99999999999", r"mapping.txt, line 2: expected a label and a code point"),
        ([1], b"1 65\n\xff\xfe 3", r"mapping.txt, line 2: expected a label and a code point"),
        ([1], b"1 65\n3 66", r"mapping.txt: expected consecutive labels of at least two classes"),
        ([1], b"", r"mapping.txt: expected consecutive labels of at least two classes"),
        ([1], b"1 65\n2 65", r"mapping.txt: two labels have the same character"),
    ],
)
def test_the_error_for_wrong_labels_names_the_file(tmp_path, labels, mapping, message):
    write(tmp_path, "letters", labels)
    if mapping is not None:
        (tmp_path / "mapping.txt").write_bytes(mapping)
    with pytest.raises(DataError, match=message) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


@given(height=st.integers(1, 40), width=st.integers(1, 40), count=st.integers(0, 5), transposed=st.booleans())
def test_idx_images_of_any_size_are_read(tmp_path_factory, height, width, count, transposed):
    folder = tmp_path_factory.mktemp("any")
    images = np.random.default_rng(height).integers(2, 256, (count, height, width), dtype=np.uint8)
    (folder / "train-images-idx3-ubyte").write_bytes(idx(images))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(np.arange(count, dtype=np.uint8)))
    found = load(folder, options=ReadingOptions(transposed=transposed))
    expected = images.transpose(0, 2, 1) if transposed else images
    np.testing.assert_array_equal(found.images, expected)
    assert found.image.shape == expected.shape[1:]
