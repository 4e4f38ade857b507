"""Reading .npz archives."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_edge.runtime.datasets import Dataset, load
from digits_edge.runtime.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 28, 28), dtype=np.uint8)
LABELS = np.arange(10)


def saved(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_both_splits_of_a_keras_archive_are_read(tmp_path):
    path = saved(tmp_path / "mine.npz", x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:3], y_test=LABELS[:3])
    train, test = load(path, "train"), load(path, "test")
    np.testing.assert_array_equal(train.images, IMAGES)
    assert (train.name, len(test), test.labels.tolist(), test.labels.dtype) == ("mine", 3, [0, 1, 2], np.uint8)


@pytest.mark.parametrize("shape", [(10, 784), (10, 28, 28, 1)])
def test_flat_images_and_images_with_a_channel_are_accepted(tmp_path, shape):
    found = load(saved(tmp_path / "a.npz", images=IMAGES.reshape(shape), labels=LABELS))
    np.testing.assert_array_equal(found.images, IMAGES)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([(), (1,), (3,)]),
    classes=st.integers(2, 300),
    named=st.booleans(),
    column=st.booleans(),
)
def test_images_of_any_shape_and_number_of_classes_are_read(
    tmp_path_factory, height, width, channels, classes, named, column
):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (classes, height, width, *channels), dtype=np.uint8)
    images[0] = 255  # otherwise images of a few pixels may seem to be scaled to 0–1
    labels = rng.permutation(classes)
    names = {"class_names": [f"é {number}" for number in range(classes)]} if named else {}
    path = tmp_path_factory.getbasetemp() / "any-shape.npz"
    found = load(saved(path, images=images, labels=labels[:, np.newaxis] if column else labels, **names))
    shape = (height, width, 3) if channels == (3,) else (height, width)
    assert found.image.shape == shape
    np.testing.assert_array_equal(found.images, images.reshape(classes, *shape))
    np.testing.assert_array_equal(found.labels, labels)
    assert found.labels.dtype == (np.uint8 if classes <= 256 else np.uint16)
    expected = classes if named or shape != (28, 28) else max(classes, 10)
    assert len(found.class_names) == expected
    assert found.class_names[1] == ("é 1" if named else "1")


def test_the_classes_of_both_splits_count(tmp_path):
    images = np.full((3, 32, 32, 3), 255, np.uint8)
    path = saved(tmp_path / "a.npz", x_train=images, y_train=[0, 1, 2], x_test=images, y_test=[0, 1, 1])
    assert load(path, "test").class_names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("shape", "names", "polarity", "steps"),
    [
        ((28, 28), None, "white-on-black", ["digit"]),
        ((32, 32), None, "white-on-black", ["digit"]),
        ((32, 32), ["a", "b"], "white-on-black", ["digit"]),
        ((32, 32), ["cat", "dog"], "as-photographed", ["resize", "center_crop"]),
        ((32, 32, 3), None, "as-photographed", ["resize", "center_crop"]),
        ((32, 24), None, "white-on-black", ["resize", "center_crop"]),
    ],
)
def test_grey_images_of_characters_are_white_on_black(tmp_path, shape, names, polarity, steps):
    named = {} if names is None else {"class_names": names}
    found = load(saved(tmp_path / "a.npz", images=np.full((2, *shape), 9, np.uint8), labels=[0, 1], **named))
    assert (found.image.polarity, [step.step for step in found.preprocessing]) == (polarity, steps)


def test_an_archive_of_images_is_read_for_either_split(tmp_path):
    path = saved(tmp_path / "a.npz", images=IMAGES)
    assert load(path, "train").sha256 == load(path, "test").sha256
    assert load(path).labels is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": IMAGES, "y_train": LABELS}, "has no test split: it contains x_train, y_train"),
        ({"images": IMAGES / 255.0, "labels": LABELS}, "images has dtype float64; save the images as uint8"),
        ({"images": IMAGES[:, :20, 0], "labels": LABELS}, r"images has shape \(10, 20\); save the images with shape"),
        ({"images": IMAGES[:, None], "labels": LABELS}, r"\(10, 1, 28, 28\); move the channels to the end"),
        ({"images": IMAGES[:, :0], "labels": LABELS}, r"images has shape \(10, 0, 28\)"),
        ({"images": np.zeros((1, 2000, 1, 3), np.uint8)}, r"images has shape \(1, 2000, 1, 3\)"),
        (
            {"images": IMAGES, "labels": LABELS, "class_names": ["a", "a"]},
            "save a list of at least two",
        ),
        ({"images": IMAGES, "labels": LABELS, "class_names": ["a", "b"]}, "label 2 is 2, expected 0 to 1"),
        ({"images": IMAGES, "labels": LABELS / 1.0}, "labels has dtype float64"),
        ({"images": IMAGES, "labels": LABELS + 1}, "label 9 is 10, expected 0 to 9; correct it, or name all classes"),
        ({"images": IMAGES[:, :9], "labels": LABELS * 2}, "label 1 is 2, expected 0 to 1; correct it, or name"),
        ({"images": IMAGES, "labels": LABELS - 1}, "label 0 is -1"),
        ({"images": IMAGES, "labels": np.eye(10, dtype=int)}, r"labels of shape \(10, 10\)"),
        ({"images": IMAGES, "labels": np.array([None] * 10)}, "could not be read as .npz"),
        ({"images": np.uint8(3), "labels": LABELS}, r"images has shape \(\)"),
    ],
)
def test_the_error_for_wrong_arrays_names_the_array(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message) as caught:
        load(saved(tmp_path / "a.npz", **arrays), "test")
    assert "a.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(data=st.data())
def test_a_corrupted_archive_gives_a_dataset_or_a_data_error(tmp_path_factory, data):
    buffer = io.BytesIO()
    (np.savez_compressed if data.draw(st.booleans()) else np.savez)(buffer, images=IMAGES[:1], labels=LABELS[:1])
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "corrupted.npz"
    path.write_bytes(content)
    message = ""
    try:
        assert isinstance(load(path), Dataset)
    except DataError as error:
        message = str(error)
    assert "\n" not in message


def test_the_same_content_has_the_same_hash_in_every_format(tmp_path, data_folder):
    from_idx = load(data_folder / "mnist", "test")
    path = saved(tmp_path / "renamed.npz", x_test=from_idx.images, y_test=from_idx.labels.astype(np.int64))
    from_npz = load(path, "test")
    assert (from_npz.sha256, from_npz.name, from_npz.licence) == (from_idx.sha256, "mnist", "CC-BY-SA-3.0")


def test_a_decompression_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, images=np.zeros((256_000, 28, 28), np.uint8))
    assert path.stat().st_size < 1_000_000
    with pytest.raises(DataError, match=r"bomb.npz could not be read as .npz \(images.npy unpacks to 200704128 bytes"):
        load(path)
