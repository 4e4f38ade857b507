"""Made images: reproducible, balanced, in MNIST format, legible, and added to the training part only."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFont

pytest.importorskip("scipy", reason="needs the extra [train]")

from digits_edge.runtime import Classifier
from digits_edge.runtime.datasets import Dataset, parts
from digits_edge.runtime.datasets.synthetic_digits import draw_image
from digits_edge.runtime.errors import DataError, UsageError
from digits_edge.train.data.hands import Hands
from digits_edge.train.data.made_hands import MadeDigits, calibration_hands, describe_hands, hands, with_hands
from scripts import draw_hands


@pytest.fixture(scope="module")
def font(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pillow's own font as a file."""
    loaded = ImageFont.load_default(20)
    if not isinstance(loaded, ImageFont.FreeTypeFont) or not isinstance(loaded.path, io.BytesIO):
        pytest.skip("this Pillow has no FreeType font of its own")
    path = tmp_path_factory.mktemp("fonts") / "default.ttf"
    path.write_bytes(loaded.path.getvalue())
    return path


@pytest.fixture(scope="module")
def drawn() -> Dataset:
    """100 synthetic digits."""
    rng = np.random.default_rng(1)
    labels = (np.arange(100) % 10).astype(np.uint8)
    images = np.stack([draw_image(int(label), rng) for label in labels])
    return Dataset("drawn", images, labels, tuple("0123456789"), "Apache-2.0", "0" * 64)


@pytest.fixture(scope="module")
def made(font: Path, drawn: Dataset) -> MadeDigits:
    return hands(3, 200, data=drawn, fonts=[font])


def test_digits_are_balanced_and_name_their_sources(made: MadeDigits) -> None:
    assert (made.images.shape, made.images.dtype, made.labels.dtype) == ((200, 28, 28), np.uint8, np.uint8)
    assert np.bincount(made.labels).tolist() == [20] * 10
    counts = made.counts()
    assert counts["font default"] == 50
    assert counts["changed drawn"] == 50
    assert sum(count for source, count in counts.items() if source.startswith("strokes ")) == 100
    strokes = [(label, source) for label, source in zip(made.labels, made.sources, strict=True) if "strokes" in source]
    assert all(source.startswith(f"strokes {label} ") for label, source in strokes)


def test_images_are_a_function_of_seed_and_count(made: MadeDigits, font: Path, drawn: Dataset) -> None:
    again, other = (hands(seed, 60, data=drawn, fonts=[font]) for seed in (5, 5))
    np.testing.assert_array_equal(again.images, other.images)
    assert again.sources == other.sources
    assert len({image.tobytes() for image in (*made.images, *again.images)}) == 260


def test_images_have_the_statistics_of_mnist(made: MadeDigits) -> None:
    """Ranges, not digests: FreeType and the processor change single grey levels."""
    assert (made.images.max(axis=(1, 2)) == 255).all()
    ink = made.images.sum(axis=(1, 2)) / 255
    assert 80 < ink.mean() < 125  # MNIST: 103
    assert 20 < ink.std() < 60
    rows, columns = (made.images.mean(axis=(0, axis)) / 255 for axis in (2, 1))
    centres = [float(np.average(np.arange(28), weights=profile)) for profile in (rows, columns)]
    assert centres == pytest.approx([14, 14], abs=0.6)


def test_a_model_trained_on_mnist_classifies_most_of_them(made: MadeDigits) -> None:
    correct = Classifier().predict_batch(made.images).argmax(axis=1) == made.labels
    assert correct.mean() > 0.85


def test_without_fonts_and_data_there_are_strokes_only() -> None:
    found = hands(0, 13, weights=Hands(1, fonts=0))
    assert len(found) == 13
    assert {source.split()[0] for source in found.sources} == {"strokes"}


def test_made_images_are_added_to_the_training_part_only(drawn: Dataset) -> None:
    before = parts(drawn.labels, "fifth")
    mixed, rows = with_hands(drawn, "fifth", Hands(20, fonts=0))
    np.testing.assert_array_equal(mixed.images[:100], drawn.images)
    assert (len(mixed), mixed.sha256) == (120, drawn.sha256)
    assert rows.tolist() == [*before.train.tolist(), *range(100, 120)]


def test_validation_images_are_not_changed_into_training_images(drawn: Dataset) -> None:
    """With black validation images, the made images are the same."""
    black = drawn.images.copy()
    black[parts(drawn.labels, "fifth").validation] = 0
    settings = Hands(30, fonts=0, strokes=0)
    one, other = (with_hands(data, "fifth", settings)[0] for data in (drawn, replace(drawn, images=black)))
    np.testing.assert_array_equal(one.images[100:], other.images[100:])


def test_images_for_the_calibration_are_others_and_do_not_depend_on_training_images(drawn: Dataset) -> None:
    settings = Hands(40, fonts=0)
    made = calibration_hands(drawn, "fifth", settings)
    assert len(made) == len(parts(drawn.labels, "fifth").validation)
    trained_on = {image.tobytes() for image in with_hands(drawn, "fifth", settings)[0].images}
    assert not trained_on & {image.tobytes() for image in made.images}
    black = drawn.images.copy()
    black[parts(drawn.labels, "fifth").train] = 0
    again = calibration_hands(replace(drawn, images=black), "fifth", settings)
    np.testing.assert_array_equal(made.images, again.images)


def test_a_validation_part_without_a_digit_is_not_changed_for_the_calibration(drawn: Dataset) -> None:
    few = replace(drawn, labels=np.minimum(drawn.labels, 8))
    assert not any("changed" in source for source in calibration_hands(few, "fifth", Hands(40, fonts=0)).sources)


def test_data_without_a_digit_cannot_be_changed(drawn: Dataset) -> None:
    blank = drawn.images * (drawn.labels != 4)[:, np.newaxis, np.newaxis]
    with pytest.raises(DataError, match="drawn has no image of the digit 4"):
        hands(0, 10, data=replace(drawn, images=blank), weights=Hands(1, fonts=0))


def test_a_file_that_is_no_font_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pen.woff2"
    path.write_bytes(b"wOF2 but not a font")
    with pytest.raises(DataError, match=r"pen\.woff2 is not a font"):
        hands(0, 10, fonts=[path])


def test_fonts_that_cannot_be_fetched_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_EDGE_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="npm is not installed"):
        hands(0, 10)


@given(st.integers(1, 10**6), st.tuples(*[st.floats(0, 1e6)] * 3), st.booleans())
def test_parts_add_up(count: int, weights: tuple[float, float, float], has_images: bool) -> None:
    found = Hands(count, 0, *weights).parts(has_images=has_images)
    assert sum(found.values()) == count
    assert min(found.values()) >= 0
    assert has_images or not found["changed"]


def test_fonts_are_recorded() -> None:
    record = describe_hands(Hands(100))
    assert record["font_licences"] == ["OFL-1.1"]
    assert any(font.startswith("@fontsource/caveat@") for font in record["fonts"])
    assert describe_hands(Hands(100, fonts=0))["fonts"] == []


def test_contact_sheet_has_a_row_for_each_digit(font: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digits_edge.train.data.made_hands.fetch_fonts", lambda: [font])
    path = tmp_path / "sheet.png"
    draw_hands.main([str(path), "--per-digit", "2", "--seed", "5"])
    with Image.open(path) as sheet:
        assert sheet.size == (2 * 2 * 2 * 28, 2 * 10 * 28)
        assert sheet.getextrema() == (0, 255)
