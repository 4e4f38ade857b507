"""Tests of `digits_edge.train.numbers.batches` and `pool`."""

from functools import cache
from pathlib import Path

import numpy as np

from digits_edge.runtime.datasets.line_set import LineSet
from digits_edge.train.models.line_network import COLUMN_PX
from digits_edge.train.numbers.batches import LineBatches, OrderedLineBatches, varied
from digits_edge.train.numbers.lines import NumberLines
from digits_edge.train.numbers.pool import make_pool
from digits_edge.train.numbers.settings import LineSettings


@cache
def pool(count: int = 200) -> LineSet:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (32, int(rng.integers(16, 200))), np.uint8) for _ in range(count)]
    return LineSet.of("random", images, [str(row) for row in range(count)])


def test_every_line_is_in_one_batch_of_an_epoch() -> None:
    batches = LineBatches(pool(), batch_size=16, seed=0)
    texts = []
    for index in range(len(batches)):
        targets = batches[index][1]
        texts += ["".join(str(each) for each in row[1:] if each < 17) for row in targets.tolist()]
    assert sorted(map(int, texts)) == list(range(200))


def test_an_epoch_is_the_same_in_a_resumed_training() -> None:
    one, other = (LineBatches(pool(), batch_size=16, seed=3) for _ in range(2))
    one.epoch = 0
    first = one[2][0]
    one.epoch = 5
    other.epoch = 5
    for index in (0, 7):
        assert all(np.array_equal(a, b) for a, b in zip(one[index], other[index], strict=True))
    assert first.shape != one[2][0].shape or not np.array_equal(first, one[2][0])


def test_lines_of_a_batch_have_similar_widths() -> None:
    batches = OrderedLineBatches(pool(), batch_size=20)
    for index in range(len(batches)):
        images, targets = batches[index]
        assert images.dtype == np.float32
        assert images.max() <= 1
        assert images.shape[2] / COLUMN_PX >= targets[:, 0].max()
        assert targets[:, 0].min() >= targets[:, 0].max() - 20


def test_all_batches_have_targets_of_one_length() -> None:
    texts = ["123456", *["1"] * 30]
    lines = LineSet.of("one long text", [np.zeros((32, 20 + row), np.uint8) for row in range(31)], texts)
    for batches in (LineBatches(lines, batch_size=4, seed=0), OrderedLineBatches(lines, batch_size=4)):
        assert {batches[index][1].shape[1] for index in range(len(batches))} == {1 + 6}


def test_varied_lines_are_similar() -> None:
    rng = np.random.default_rng(0)
    image = np.zeros((32, 100), np.uint8)
    image[6:26, 20:24] = image[6:26, 70:74] = 255
    for _ in range(20):
        changed = varied(image, rng)
        assert changed.shape[0] == 32
        assert 80 <= changed.shape[1] <= 135
        assert changed.max() > 150


def test_a_pool_is_resumed_and_replaced(tmp_path: Path) -> None:
    lines = NumberLines(0, LineSettings(images=0, fonts=0), fonts=())
    made = make_pool(lines, 12, tmp_path, {"seed": 0}, block=8)
    assert len(made) == 12
    second = tmp_path / "block-00001.npz"
    written = second.stat().st_mtime_ns
    (tmp_path / "block-00000.npz").unlink()
    again = make_pool(lines, 12, tmp_path, {"seed": 0}, block=8)
    assert again.texts == made.texts
    assert np.array_equal(again.pixels, made.pixels)
    assert second.stat().st_mtime_ns == written
    make_pool(lines, 4, tmp_path, {"seed": 1}, block=8)
    assert not second.exists()
