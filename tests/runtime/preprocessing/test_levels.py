"""Grey levels of pictures in colour."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from digits_edge.runtime.preprocessing.levels import grey


@given(st.integers(1, 40), st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_grey_of_a_picture_without_colour_is_its_channel(height: int, width: int, seed: int):
    channel = np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.float32)
    colours = np.repeat(channel[..., None], 3, axis=2)
    np.testing.assert_array_equal(grey(colours), channel)
