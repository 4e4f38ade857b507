"""Pixel ranges: one or three means and standard deviations."""

import pytest

from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.json_record import as_record
from digits_edge.runtime.model.pixel_range import PixelRange


def test_equal_channels_are_one_number() -> None:
    assert PixelRange(1, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)) == PixelRange(1, mean=0.5, std=0.25)
    assert not PixelRange(1, mean=(0.5, 0.5, 0.5)).is_per_channel


def test_factor_and_offset_of_each_channel() -> None:
    pixels = PixelRange(255, invert=True, mean=(10, 20, 30), std=(1, 2, 4))
    assert pixels.factors == (-1, -0.5, -0.25)
    assert pixels.offsets == (245, 235 / 2, 225 / 4)
    assert pixels.description == "0–255, inverted, minus 10,20,30, divided by 1,2,4"
    with pytest.raises(UsageError, match="mean 10,20,30 and standard deviation 1,2,4 differ"):
        assert pixels.factor


@pytest.mark.parametrize("numbers", [(), (1, 2), (1, 2, 3, 4)])
def test_wrong_number_of_channels_is_an_error(numbers: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match=f"^{len(numbers)} numbers for the channels"):
        PixelRange(1, std=numbers)


@pytest.mark.parametrize("numbers", [(0.5, float("nan"), 0.5), (1e9, 0, 0)])
def test_every_channel_is_checked(numbers: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="mean"):
        PixelRange(1, mean=numbers)
    with pytest.raises(UsageError, match="standard deviation"):
        PixelRange(1, std=numbers)


def test_channels_survive_json() -> None:
    record = {"scale": 1, "invert": False, "mean": [0.1, 0.2, 0.3], "std": 0.5}
    assert as_record(PixelRange, record) == PixelRange(1, mean=(0.1, 0.2, 0.3), std=0.5) == PixelRange(**record)
