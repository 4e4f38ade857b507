"""The pictures of `scripts.draw_shapes`."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from digits_edge.runtime.datasets import load
from scripts.draw_shapes import SHAPES, draw_shape


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_have_colours_and_their_grounds_are_grey(name):
    coloured = []
    for seed in range(20):
        pixels = np.asarray(draw_shape(name, seed), np.int64)
        assert pixels.shape == (32, 32, 3)
        coloured.append(int((np.ptp(pixels, axis=2) > 45).sum()))
    assert 40 < np.median(coloured) < 400


def test_the_pixels_are_the_same_on_every_machine():
    pixels = b"".join(draw_shape(name, seed).tobytes() for name in SHAPES for seed in range(5))
    assert hashlib.sha256(pixels).hexdigest() == "6411bf5255cd69f97de50f359c035aa27e7c5777a5e34c1ab34047d87061f4c6"


def test_the_folder_is_a_data_set(tmp_path):
    command = [sys.executable, "-m", "scripts.draw_shapes", str(tmp_path / "shapes"), "--count", "5"]
    subprocess.run(command, check=True)
    train, test = load(tmp_path / "shapes"), load(tmp_path / "shapes", "test")
    assert (train.class_names, len(train), len(test)) == (("circle", "cross", "triangle"), 12, 3)
    assert train.image.description == "32×32×3"
