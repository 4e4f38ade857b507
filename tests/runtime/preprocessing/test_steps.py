"""The preprocessing steps of a model file."""

import pickle
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.steps import (
    CenterCropStep,
    DigitStep,
    ObjectStep,
    PadStep,
    ResizeStep,
    named_steps,
)
from digits_edge.runtime.preprocessing.mnist_format import to_mnist_format
from digits_edge.runtime.preprocessing.steps import PictureForm, apply_steps

PHOTOGRAPH = ImageInput(32, 48, 3, "as-photographed")


@st.composite
def pictures(draw: st.DrawFn) -> Image.Image:
    mode = draw(st.sampled_from(["L", "LA", "RGB", "RGBA"]))
    height, width = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pixels = rng.integers(0, 256, (height, width, len(mode)), np.uint8)
    return Image.fromarray(pixels[:, :, 0] if mode == "L" else pixels)


@given(
    picture=pictures(),
    name=st.sampled_from(["digit", "object", "stretch", "crop", "letterbox"]),
    channels=st.sampled_from([1, 3]),
    sides=st.tuples(st.integers(1, 70), st.integers(1, 70)),
)
@settings(max_examples=100)
def test_any_picture_becomes_an_input_of_the_model(picture, name, channels, sides):
    image = ImageInput(sides[0], sides[0] if name in ("digit", "object") else sides[1], channels)
    prepared = apply_steps(picture, named_steps(name, image), image)
    assert (prepared.image.shape, prepared.image.dtype) == (image.shape, np.uint8)
    assert not prepared.blank or not prepared.image.any()


@pytest.mark.parametrize("channels", [1, 3])
def test_blank_picture_is_blank_for_steps_that_look_for_ink_only(channels):
    page = Image.new("RGB", (50, 40), "white")
    for name in ("digit", "object"):
        image = ImageInput(20, 20, channels)
        prepared = apply_steps(page, named_steps(name, image), image)
        assert (prepared.blank, prepared.image.shape, prepared.image.any()) == (True, image.shape, False)
    prepared = apply_steps(page, named_steps("crop", PHOTOGRAPH), PHOTOGRAPH)
    assert (prepared.blank, int(prepared.image.min())) == (False, 255)


def test_steps_of_mnist_are_its_preprocessing():
    page = Image.new("L", (90, 120), "white")
    ImageDraw.Draw(page).line((45, 20, 40, 100), fill="black", width=9)
    prepared, expected = apply_steps(page, (DigitStep(),), ImageInput()), to_mnist_format(page)
    np.testing.assert_array_equal(prepared.image, expected.image)
    assert (prepared.box, prepared.boxes) == (expected.box, expected.boxes)
    assert [stage.name for stage in prepared.stages] == [stage.name for stage in expected.stages]


def test_padded_digit_is_the_digit_in_the_middle():
    page = Image.new("L", (90, 120), "white")
    ImageDraw.Draw(page).line((45, 20, 40, 100), fill="black", width=9)
    padded = apply_steps(page, (DigitStep(), PadStep(32, 36)), ImageInput(32, 36)).image
    np.testing.assert_array_equal(padded[2:30, 4:32], to_mnist_format(page).image)
    assert padded.sum() == padded[2:30, 4:32].sum()


@pytest.mark.parametrize(
    ("name", "expected"), [("stretch", (0, 60)), ("crop", (24, 36)), ("letterbox", (0, 60))], ids=str
)
def test_fit_decides_which_part_of_a_wide_picture_is_seen(name, expected):
    """Column x of the picture has the level x: the outermost columns of the input show which were kept."""
    columns = np.tile(np.arange(60, dtype=np.uint8), (12, 1))
    image = ImageInput(12, 12, polarity="as-photographed")
    pixels = apply_steps(Image.fromarray(columns), named_steps(name, image), image).image
    middle = pixels[6]
    assert abs(int(middle[0]) - expected[0]) <= 3
    assert abs(int(middle[-1]) - expected[1]) <= 3
    assert (pixels[0] == 0).all() == (name == "letterbox")


def test_transparent_photograph_lies_on_a_contrasting_ground():
    picture = Image.new("RGBA", (64, 96), (0, 0, 0, 0))
    picture.paste((10, 20, 30, 255), (16, 24, 48, 72))
    image = apply_steps(picture, (ResizeStep(32, 48),), PHOTOGRAPH).image
    assert image[0, 0].tolist() == [255, 255, 255]
    assert image[16, 24].tolist() == [10, 20, 30]


def test_grey_input_is_the_luminance_and_colours_of_grey_are_equal():
    red = Image.new("RGB", (8, 8), (255, 0, 0))
    assert apply_steps(red, (), ImageInput(8, 8)).image[0, 0] == 76
    grey = apply_steps(Image.new("L", (8, 8), 77), (), ImageInput(8, 8, 3)).image
    assert grey.shape == (8, 8, 3)
    assert (grey == 77).all()


def test_steps_that_do_not_give_the_input_are_an_error_of_the_model():
    with pytest.raises(ModelError, match=r"gives 8×8 pixels for this picture, expected 32×48; export the model again"):
        apply_steps(Image.new("L", (20, 20)), (CenterCropStep(8, 8),), PHOTOGRAPH)


def test_form_can_be_sent_to_another_process():
    form = PictureForm((ObjectStep(16, 20),), ImageInput(20, 20))
    picture = Image.new("RGB", (50, 50), "white")
    picture.paste((90, 20, 20), (10, 10, 30, 40))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(form))(picture).image, form(picture).image)


def test_every_step_states_its_name():
    steps = (DigitStep(), ObjectStep(), ResizeStep(1, 1), CenterCropStep(1, 1), PadStep(1, 1))
    assert [asdict(step)["step"] for step in steps] == ["digit", "object", "resize", "center_crop", "pad"]
