"""Pictures that show the preprocessing and the prediction."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from digits_edge.runtime import Classifier
from digits_edge.runtime.datasets.synthetic_digits import draw_digit
from digits_edge.runtime.model.steps import ObjectStep
from digits_edge.runtime.preprocessing.explanation import GAP, TILE, explanation, stacked


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier("cnn-small-int8", threads=1)


def explained(classifier: Classifier, picture: Image.Image) -> Image.Image:
    seen = classifier.prepare(picture)
    return explanation(picture, seen, classifier.predict(seen.image), name="a.png")


def tile(row: Image.Image, index: int) -> np.ndarray:
    left = GAP + index * (TILE + GAP)
    return np.asarray(row.crop((left, row.height - TILE - GAP, left + TILE, row.height - GAP)))


def test_last_tile_is_the_input_of_the_model(classifier: Classifier) -> None:
    picture = draw_digit(3, np.random.default_rng(0))
    seen = classifier.prepare(picture)
    shown = tile(explained(classifier, picture), 5)[:, :, 0]
    small = np.asarray(Image.fromarray(shown).resize((28, 28), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(small, seen.image)
    assert classifier.predict(picture).probabilities == classifier.predict(seen.image).probabilities


def test_every_step_shows_the_digit_at_its_position(classifier: Classifier) -> None:
    page = Image.new("RGB", (400, 400), "white")
    page.paste((20, 20, 80), (20, 20), draw_digit(7, np.random.default_rng(1), size=360))
    row = explained(classifier, page)
    for index in (1, 2, 3):
        light = tile(row, index)[:, :, 0] > 127
        rows, columns = np.nonzero(light)
        assert 0.02 < light.mean() < 0.3
        assert 20 < columns.mean() < 180 and rows.min() > 15 and rows.max() < 185


def test_blank_picture_shows_only_the_steps(classifier: Classifier) -> None:
    row = explained(classifier, Image.new("L", (90, 60), 200))
    assert not tile(row, 3).any()
    assert row.width == 4 * (TILE + GAP) + GAP  # the picture and three steps; no image, no probabilities


@given(
    st.sampled_from(["L", "LA", "RGB", "RGBA"]), st.tuples(st.integers(1, 80), st.integers(1, 80)), st.integers(0, 9999)
)
@settings(max_examples=30)
def test_any_picture_can_be_explained(mode: str, size: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (size[1], size[0], len(mode)), dtype=np.uint8)
    picture = Image.fromarray(pixels[:, :, 0] if mode == "L" else pixels)
    row = explained(Classifier("cnn-small-int8", threads=1), picture)
    assert stacked([row, row]).size == (row.width, 2 * row.height)


def test_garment_is_explained_by_its_own_steps(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "metadata", replace(classifier.metadata, preprocessing=(ObjectStep(),)))
    shirt = Image.new("RGB", (100, 100), "white")
    shirt.paste((90, 20, 20), (25, 20, 75, 90))
    assert [stage.name for stage in classifier.prepare(shirt).stages] == ["difference from the background"]
