"""Synthetic digits: deterministic, in MNIST format, and classified correctly by a model."""

import csv
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from digits_edge.runtime import Classifier
from digits_edge.runtime.datasets.synthetic_digits import SHAPES, draw_digit, draw_image
from digits_edge.runtime.preprocessing.mnist_format import to_mnist_format
from digits_edge.runtime.preprocessing.pictures import open_picture

SAMPLES = Path(__file__).parents[3] / "samples"


@pytest.fixture(scope="module")
def labelled_samples() -> dict[str, int]:
    with (SAMPLES / "labels.csv").open(newline="", encoding="utf-8") as stream:
        return {row["file"]: int(row["label"]) for row in csv.DictReader(stream)}


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    """`samples/draw.py` as a module."""
    spec = importlib.util.spec_from_file_location("draw_samples", SAMPLES / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("digit", range(10))
def test_the_same_seed_draws_the_same_digit(digit: int):
    one, other = (draw_image(digit, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one, other)
    assert not np.array_equal(one, draw_image(digit, np.random.default_rng(6)))


@pytest.mark.parametrize("digit", range(10))
def test_a_drawn_image_is_in_mnist_format(digit: int):
    image = draw_image(digit, np.random.default_rng(digit))
    assert image.dtype == np.uint8
    assert image.shape == (28, 28)
    assert image.max() == 255
    assert not image[0].any()
    assert 30 < image.sum() / 255 < 200  # range of the ink in MNIST's images, in white pixels


@pytest.mark.parametrize("size", [16, 100, 401])
def test_a_picture_has_the_requested_size_and_a_margin(size: int):
    picture = draw_digit(8, np.random.default_rng(0), size=size)
    assert (picture.mode, picture.size) == ("L", (size, size))
    pixels = np.asarray(picture)
    assert not pixels[0].any()
    assert not pixels[:, -1].any()


def test_a_thicker_pen_draws_more_ink():
    thin, thick = (
        np.asarray(draw_digit(3, np.random.default_rng(0), thickness=pen), float).sum() for pen in (0.03, 0.09)
    )
    assert 2 < thick / thin < 4


def test_without_wobble_there_is_one_picture_per_shape():
    rng = np.random.default_rng(0)
    for digit, shapes in SHAPES.items():
        drawn = {draw_digit(digit, rng, size=40, thickness=0.1, wobble=0).tobytes() for _ in range(30)}
        assert len(drawn) == len(shapes)


def test_a_model_trained_on_mnist_classifies_drawn_digits():
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(10), 30)
    images = np.stack([draw_image(int(label), rng) for label in labels])
    assert (Classifier().predict_batch(images).argmax(axis=1) == labels).mean() >= 0.97


def test_samples_are_small_and_contain_every_digit(labelled_samples: dict[str, int]):
    assert set(labelled_samples.values()) == set(range(10))
    assert len(list(SAMPLES.glob("*.png"))) >= 10
    assert {path.name for path in SAMPLES.iterdir() if path.suffix in (".png", ".jpg")} == set(labelled_samples)
    assert sum(path.stat().st_size for path in SAMPLES.iterdir() if path.is_file()) < 400_000


def test_samples_are_the_output_of_their_script(
    drawing: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labelled_samples: dict[str, int]
):
    monkeypatch.setattr(drawing, "FOLDER", tmp_path)
    drawing.main()
    for name in ("labels.csv", *labelled_samples):
        drawn, committed = tmp_path / name, SAMPLES / name
        if name.endswith(".png"):  # compare pixels: the bytes differ between versions of zlib
            assert np.array_equal(np.asarray(open_picture(drawn)), np.asarray(open_picture(committed)))
        elif name.endswith(".csv"):
            assert drawn.read_bytes() == committed.read_bytes()


def test_every_sample_is_classified_correctly(labelled_samples: dict[str, int]):
    images = np.stack([to_mnist_format(open_picture(SAMPLES / name)).image for name in labelled_samples])
    assert Classifier().predict_batch(images).argmax(axis=1).tolist() == list(labelled_samples.values())
