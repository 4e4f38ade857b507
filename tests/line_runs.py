"""Tiny runs of sequence models for tests."""

import shutil
from pathlib import Path

import numpy as np

from digits_edge.runtime.datasets import Dataset
from digits_edge.train import Lines, Recipe, train
from digits_edge.train.numbers.settings import LineSettings

#: Lines of drawn strokes on white paper.
EASY = LineSettings(
    images=0,
    fonts=0,
    bend=0.01,
    wide=0,
    joined=0,
    comb=0,
    empty=0.1,
    neighbours=0,
    rules=0,
    patterns=0,
    coarse=0,
    noise=0,
)
TINY_NETWORK = {"filters": [4, 6, 8, 8, 8, 8], "context": [8, 8]}
#: A run of a few seconds, whose model reads nothing yet.
TINY = Recipe(
    "number",
    epochs=2,
    batch_size=16,
    learning_rate=0.003,
    keep="last",
    average_decay=0.9,
    structure=TINY_NETWORK,
    lines=Lines(48, validation=24, settings=EASY),
)


def digits() -> Dataset:
    """A data set in MNIST format; the lines do not use its images."""
    labels = (np.arange(100) % 10).astype(np.uint8)
    images = np.zeros((100, 28, 28), np.uint8)
    images[:, 8:20, 10:18] = 255
    return Dataset("blocks", images, labels, tuple("0123456789"), "Apache-2.0", "2" * 64)


def write_line_runs(folder: Path) -> None:
    """Train the tiny run in `finished`; `interrupted` is a copy of it after its first epoch."""
    folder.mkdir()

    def copy_first(epoch: int, row: dict[str, float]) -> None:
        if epoch == 0:
            shutil.copytree(folder / "finished", folder / "interrupted")

    train(TINY, digits(), folder / "finished", on_epoch=copy_first)
