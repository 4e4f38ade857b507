"""Statistics of a data set: `describe()` computes a `DataReport` from its splits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.datasets.dataset import ProgressCallback
from digits_edge.train.data.duplicates import NEAR, content_keys, groups_of_same, nearest, same_in_both
from digits_edge.train.data.reading import Account, Reading

#: Number of listed groups and pairs; all are counted.
LISTED = 8
#: Bin width of the histogram of distances to the closest training image, in grey levels.
DISTANCE_BIN = 2.0
_BLOCK = 4096


@dataclass(frozen=True)
class Range:
    """Minimum, maximum, mean and standard deviation of pixels."""

    min: float
    max: float
    mean: float
    std: float


@dataclass(frozen=True)
class Pixels:
    """Statistics of all pixels of all images.

    Attributes:
        raw: in grey levels, 0 to 255.
        scaled: after division by 255.
        standardised: after subtracting the mean and dividing by the standard deviation; None if all pixels are equal.
        zero_share: share of pixels that are 0.
        saturated_share: share of pixels that are 255.
        always_empty: number of pixel positions that are 0 in every image.
        blank_images: number of images whose pixels are all 0.
        counts: number of pixels with each of the values 0 to 255.
    """

    raw: Range
    scaled: Range
    standardised: Range | None
    zero_share: float
    saturated_share: float
    always_empty: int
    blank_images: int
    counts: tuple[int, ...]


@dataclass(frozen=True)
class ClassCount:
    """Images of a class, their share of the split, and their mean pixel in grey levels (None without images)."""

    label: int
    name: str
    images: int
    share: float
    mean_level: float | None


@dataclass(frozen=True)
class Group:
    """Equal images of one split: row numbers from 1, and labels (empty without labels)."""

    rows: tuple[int, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Repeats:
    """Images that occur more than once in a split.

    Attributes:
        groups: number of distinct images that repeat.
        surplus: number of images that are copies of an earlier one.
        conflicting: number of groups whose images have different labels.
        first: the first `LISTED` groups, conflicting ones first.
    """

    groups: int
    surplus: int
    conflicting: int
    first: tuple[Group, ...]


@dataclass(frozen=True)
class Split:
    """Statistics of one split.

    Attributes:
        split: "train", "test", or "file" for a file that is not split.
        file: path of the file.
        images: number of valid images; the attributes below describe these.
        shape: shape of the image array, (N, H, W) or (N, H, W, 3).
        dtype: dtype of the images.
        labels_dtype: dtype of the labels; None without labels.
        licence: licence of the data, or "unknown".
        sha256: SHA-256 of images and labels, independent of the file format.
        account: counts of missing and invalid values.
        classes: counts per label; empty without labels.
        imbalance: size of the largest class over that of the smallest; None without labels or with an empty class.
        pixels: pixel statistics.
        repeats: exact duplicates.
    """

    split: str
    file: str
    images: int
    shape: tuple[int, ...]
    dtype: str
    labels_dtype: str | None
    licence: str
    sha256: str
    account: Account
    classes: tuple[ClassCount, ...]
    imbalance: float | None
    pixels: Pixels
    repeats: Repeats


@dataclass(frozen=True)
class Pair:
    """A test image and its closest training image: row numbers from 1, labels or None, distance in grey levels."""

    train_row: int
    test_row: int
    train_label: int | None
    test_label: int | None
    distance: float


@dataclass(frozen=True)
class Leakage:
    """Overlap of train and test.

    Attributes:
        near_up_to: largest distance of near duplicates, in grey levels.
        searched: number of test images whose closest training image was searched; all, unless there are very many.
        identical: number of test images that are in train, pixel for pixel.
        identical_other_label: number of these with another label in train; None if a split has no labels.
        near: number of searched test images with a near or identical training image.
        near_other_label: number of these whose closest training image has another label; None without labels.
        nearest_other_label: number of searched test images whose closest training image has another label, which are
            the errors of a 1-nearest-neighbour classifier; None without labels.
        median_distance: median distance to the closest training image, in grey levels.
        distance_counts: histogram of these distances, in bins of `DISTANCE_BIN` grey levels from 0.
        closest: the `LISTED` closest pairs, near or not.
        closest_other_label: the `LISTED` closest pairs with different labels, near or not.
    """

    near_up_to: float
    searched: int
    identical: int
    identical_other_label: int | None
    near: int
    near_other_label: int | None
    nearest_other_label: int | None
    median_distance: float
    distance_counts: tuple[int, ...]
    closest: tuple[Pair, ...]
    closest_other_label: tuple[Pair, ...]


@dataclass(frozen=True)
class DataReport:
    """Statistics of a data set.

    Attributes:
        name: name of the data set.
        class_names: names of the classes, in label order.
        splits: one or two splits.
        leakage: overlap of train and test; None unless there are both.
    """

    name: str
    class_names: tuple[str, ...]
    splits: tuple[Split, ...]
    leakage: Leakage | None


def describe(readings: Sequence[Reading], progress: ProgressCallback | None = None) -> DataReport:
    """Compute the statistics of a data set.

    Args:
        readings: result of `read_splits`.
        progress: called with (training images compared, all training images) while train and test are compared.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from digits_edge.train.data.reading import read_splits
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "digits.npz")
        ...     np.savez(path, images=np.zeros((3, 28, 28), np.uint8), labels=np.array([0, 1, 1], np.uint8))
        ...     [split] = describe(read_splits(str(path))).splits
        >>> split.images, split.pixels.blank_images, split.repeats.surplus
        (3, 3, 2)
    """
    keys = [content_keys(reading.dataset.images) for reading in readings]
    first = readings[0].dataset
    return DataReport(
        name=first.name,
        class_names=first.class_names,
        splits=tuple(_describe_split(reading, own) for reading, own in zip(readings, keys, strict=True)),
        leakage=_compare(readings[0], readings[1], keys[0], keys[1], progress) if len(readings) == 2 else None,
    )


def mean_images(dataset: Dataset) -> list[NDArray[np.float64] | None]:
    """Mean image of each class, float64 (H, W) or (H, W, 3), in grey levels; None without images. Needs labels."""
    rows = [np.flatnonzero(dataset.labels == label) for label in range(len(dataset.class_names))]
    # summing integers needs no float copy of the images
    return [dataset.images[own].sum(axis=0, dtype=np.int64) / len(own) if len(own) else None for own in rows]


def _describe_split(reading: Reading, keys: list[bytes]) -> Split:
    dataset = reading.dataset
    classes = _class_counts(dataset)
    counts = [found.images for found in classes]
    return Split(
        split=reading.split,
        file=str(reading.path),
        images=len(dataset),
        shape=dataset.images.shape,
        dtype=str(dataset.images.dtype),
        labels_dtype=None if dataset.labels is None else str(dataset.labels.dtype),
        licence=dataset.licence,
        sha256=dataset.sha256,
        account=reading.account,
        classes=classes,
        imbalance=max(counts) / min(counts) if all(counts) and counts else None,
        pixels=_pixels(dataset.images),
        repeats=_repeats(reading, keys),
    )


def _class_counts(dataset: Dataset) -> tuple[ClassCount, ...]:
    if dataset.labels is None:
        return ()
    counts: list[int] = np.bincount(dataset.labels, minlength=len(dataset.class_names)).tolist()
    named = zip(dataset.class_names, counts, mean_images(dataset), strict=True)
    return tuple(
        ClassCount(label, name, count, count / len(dataset), None if mean is None else float(mean.mean()))
        for label, (name, count, mean) in enumerate(named)
    )


def _pixels(images: NDArray[np.uint8]) -> Pixels:
    # the 256 counts give exact statistics without a float copy of the images
    blocks = (images[start : start + _BLOCK] for start in range(0, len(images), _BLOCK))
    counts = np.sum([np.bincount(block.ravel(), minlength=256) for block in blocks], axis=0)
    levels, shares = np.arange(256), counts / counts.sum()
    mean = float(levels @ shares)
    std = float(np.sqrt(np.square(levels - mean) @ shares))
    occurring = np.flatnonzero(counts)
    raw = Range(float(occurring[0]), float(occurring[-1]), mean, std)
    return Pixels(
        raw=raw,
        scaled=Range(raw.min / 255, raw.max / 255, mean / 255, std / 255),
        standardised=Range((raw.min - mean) / std, (raw.max - mean) / std, 0.0, 1.0) if std else None,
        zero_share=float(shares[0]),
        saturated_share=float(shares[255]),
        always_empty=int((images.max(axis=0) == 0).sum()),
        blank_images=int((images.reshape(len(images), -1).max(axis=1) == 0).sum()),
        counts=tuple(counts.tolist()),
    )


def _repeats(reading: Reading, keys: list[bytes]) -> Repeats:
    labels = reading.dataset.labels
    groups = groups_of_same(keys)
    found = [
        Group(tuple(reading.rows[group].tolist()), () if labels is None else tuple(labels[group].tolist()))
        for group in groups
    ]
    found.sort(key=lambda group: len(set(group.labels)) < 2)
    conflicting = sum(len(set(group.labels)) > 1 for group in found)
    return Repeats(len(groups), sum(map(len, groups)) - len(groups), conflicting, tuple(found[:LISTED]))


def _compare(
    train: Reading, test: Reading, train_keys: list[bytes], test_keys: list[bytes], progress: ProgressCallback | None
) -> Leakage:
    same = same_in_both(train_keys, test_keys)
    found = nearest(train.dataset.images, test.dataset.images, same, progress)
    near = found.distance <= NEAR
    order = np.argsort(found.distance, kind="stable")
    train_labels, test_labels = train.dataset.labels, test.dataset.labels
    other = identical_other = None
    if train_labels is not None and test_labels is not None:
        other = train_labels[found.train] != test_labels[found.test]
        identical_other = sum(bool(test_labels[row] != train_labels[twin]) for row, twin in same.items())

    def pairs(positions: NDArray[np.intp]) -> tuple[Pair, ...]:
        return tuple(
            Pair(
                int(train.rows[found.train[i]]),
                int(test.rows[found.test[i]]),
                None if train_labels is None else int(train_labels[found.train[i]]),
                None if test_labels is None else int(test_labels[found.test[i]]),
                float(found.distance[i]),
            )
            for i in positions[:LISTED]
        )

    return Leakage(
        near_up_to=NEAR,
        searched=len(found.test),
        identical=len(same),
        identical_other_label=identical_other,
        near=int(near.sum()),
        near_other_label=None if other is None else int((near & other).sum()),
        nearest_other_label=None if other is None else int(other.sum()),
        median_distance=float(np.median(found.distance)),
        distance_counts=tuple(np.bincount((found.distance // DISTANCE_BIN).astype(int)).tolist()),
        closest=pairs(order),
        closest_other_label=() if other is None else pairs(order[other[order]]),
    )
