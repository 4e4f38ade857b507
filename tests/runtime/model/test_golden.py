import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.model.golden import GoldenValues, max_packed_bytes


def golden(squares, keras_probabilities):
    return GoldenValues(squares, keras_probabilities(squares), 1e-4)


def test_golden_values_are_equal_after_unpacking(squares, keras_probabilities):
    packed = golden(squares, keras_probabilities)
    unpacked = GoldenValues.unpack(packed.pack())
    np.testing.assert_array_equal(unpacked.images, squares)
    np.testing.assert_array_equal(unpacked.probabilities, packed.probabilities)
    assert unpacked.tolerance == 1e-4
    assert (unpacked.images.dtype, unpacked.probabilities.dtype) == (np.uint8, np.float32)


def test_exact_probabilities_are_rounded_to_steps(squares, keras_probabilities):
    packed = replace(golden(squares, keras_probabilities), exact=keras_probabilities(squares), exact_tolerance=0.001)
    unpacked = GoldenValues.unpack(packed.pack())
    np.testing.assert_allclose(unpacked.exact, packed.exact, atol=1 / 65535)
    assert (unpacked.exact.dtype, unpacked.exact_tolerance) == (np.float32, 0.001)
    assert GoldenValues.unpack(golden(squares, keras_probabilities).pack()).exact is None


def test_packed_values_are_small(squares, keras_probabilities):
    assert len(golden(squares, keras_probabilities).pack()) < max_packed_bytes(10, 784)


@pytest.mark.parametrize(
    "change",
    [
        {"count": 0},
        {"count": 11},
        {"count": 10**9},
        {"count": -1},
        {"classes": 9},
        {"images": "no"},
        {"tolerance": "x"},
        {"exact": "no", "exact_tolerance": 0.1},
        {"exact": "", "exact_tolerance": 0.1},
        {"exact": "eJwDAAAAAAE="},
    ],
)
def test_inconsistent_values_are_rejected(squares, keras_probabilities, change):
    packed = json.loads(golden(squares, keras_probabilities).pack()) | change
    with pytest.raises(ModelError, match="golden values"):
        GoldenValues.unpack(json.dumps(packed))


@given(st.text())
def test_text_that_is_not_golden_values_is_rejected(text):
    with pytest.raises(ModelError, match="golden values"):
        GoldenValues.unpack(text)


def test_decompression_bomb_is_rejected():
    bomb = GoldenValues(np.zeros((20_000, 28, 28), np.uint8), np.zeros((1, 10), np.float32), 1e-4).pack()
    with pytest.raises(ModelError, match="golden values"):
        GoldenValues.unpack(bomb)
