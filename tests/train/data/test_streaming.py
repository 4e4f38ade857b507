"""Tests of `digits_edge.train.data.streaming`."""

import numpy as np

from digits_edge.runtime.datasets.line_set import LineSet
from digits_edge.train.data.augmentation import Augmentation
from digits_edge.train.data.batches import Batches
from digits_edge.train.data.streaming import streamed
from digits_edge.train.numbers.batches import LineBatches


def test_each_epoch_has_its_own_batches() -> None:
    images, labels = np.zeros((30, 28, 28), np.uint8), np.arange(30, dtype=np.uint8)
    batches = Batches(images, labels, np.arange(30), batch_size=4, augmentation=Augmentation(), seed=0)
    data = streamed(batches)
    assert len(data) == 8
    epochs = []
    for epoch in (0, 1, 0):
        batches.epoch = epoch
        epochs.append(np.concatenate([targets.numpy() for _, targets in data]).tolist())
    assert epochs[0] == epochs[2] != epochs[1]
    assert sorted(epochs[1]) == list(range(30))


def test_lines_may_have_any_width() -> None:
    # also if the first batches have the same width
    widths = [*[40] * 20, 80, 16]
    lines = LineSet.of("lines", [np.zeros((32, width), np.uint8) for width in widths], ["1"] * len(widths))
    data = streamed(LineBatches(lines, batch_size=1, seed=0))
    assert data.element_spec[0].shape.as_list() == [None, 32, None, 1]
    assert sum(1 for _ in data) == 22


def test_tensorflow_does_not_tune_the_pipeline() -> None:
    # at the end of an epoch, it would wait for the thread of the tuning
    images = np.zeros((3, 8, 8, 3), np.uint8)
    batches = Batches(images, np.zeros(3, np.uint8), np.arange(3), batch_size=2, augmentation=Augmentation(), seed=0)
    data = streamed(batches)
    assert data.options().autotune.enabled is False
    assert data.element_spec[0].shape.as_list() == [None, 8, 8, 3]
