"""Reference images of models."""

import hashlib

import numpy as np
import pytest

from digits_edge.export.patterns import drawn_patterns
from digits_edge.export.reference import candidate_images
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.steps import DigitStep, PadStep, default_steps

DIGITS = tuple("0123456789")


@pytest.mark.parametrize("image", [ImageInput(32, 48, 3), ImageInput(1, 1), ImageInput(28, 28)], ids=str)
def test_patterns_differ_and_have_the_shape_of_the_input(image):
    patterns = drawn_patterns(image, 12)
    assert (patterns.shape, patterns.dtype) == ((12, *image.shape), np.uint8)
    assert image.pixels == 1 or len({pattern.tobytes() for pattern in patterns}) == 12


def test_patterns_are_the_same_on_every_machine():
    digest = hashlib.sha256(drawn_patterns(ImageInput(32, 32, 3), 20).tobytes()).hexdigest()
    assert digest == "7de9b07470fe9e6a74094b79649c047c3bdd65e5b432ffe04e3a9bd601412c96"


def test_models_of_digits_are_checked_on_digits_in_their_own_format():
    usual = candidate_images(ImageInput(), DIGITS, ())
    padded = candidate_images(ImageInput(32, 32), DIGITS, (DigitStep(), PadStep(32, 32)))
    np.testing.assert_array_equal(padded[:, 2:30, 2:30], usual)
    colour = candidate_images(ImageInput(28, 28, 3), DIGITS, default_steps(ImageInput(28, 28, 3), digits=True))
    np.testing.assert_array_equal(colour[..., 1], usual)


def test_other_models_are_checked_on_patterns():
    image = ImageInput(16, 16, 3)
    np.testing.assert_array_equal(candidate_images(image, ("cat", "dog"), ()), drawn_patterns(image, 96))
