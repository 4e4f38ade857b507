"""Other classes for the images of a data set: `relabelled`."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from digits_edge.runtime.datasets.dataset import Dataset
from digits_edge.runtime.errors import UsageError


def relabelled(data: Dataset, classes: Sequence[int], class_names: Sequence[str]) -> Dataset:
    """Replace the labels of a data set, for a model that has other classes.

    Args:
        data: the data set, with labels.
        classes: for each label of the data set, the index of the new class.
        class_names: names of the new classes.

    Returns:
        A data set with the same images and, as its identity, the same `sha256`.

    Raises:
        UsageError: there are not as many classes as labels, a class has no name, or the data set has no labels.

    Example:
        >>> from digits_edge.runtime.datasets.catalogue import dataset_of
        >>> digits = dataset_of("digits", np.zeros((3, 28, 28), np.uint8), np.array([0, 7, 8], np.uint8))
        >>> parity = relabelled(digits, [0, 1] * 5, ["even", "odd"])
        >>> parity.labels.tolist(), parity.class_names
        ([0, 1, 0], ('even', 'odd'))
    """
    if data.labels is None:
        raise UsageError(f"{data.name} has no labels to map; omit --label-map")
    if len(classes) != len(data.class_names):
        raise UsageError(
            f"the label map has {len(classes)} entries, but {data.name} has {len(data.class_names)} classes; "
            "give a class for each of them"
        )
    if not all(0 <= new < len(class_names) for new in classes):
        raise UsageError(
            f"the label map has a class outside 0 to {len(class_names) - 1}; the model's classes are "
            f"{', '.join(class_names)}"
        )
    labels = np.array(classes, np.uint16 if len(class_names) > 256 else np.uint8)[data.labels]
    return replace(data, labels=labels, class_names=tuple(class_names))
