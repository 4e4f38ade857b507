"""The options of the pixel range."""

import click
import pytest
from click.testing import CliRunner

from digits_edge.cli.options import pixel_range_options
from digits_edge.runtime.model.pixel_range import PixelRange

IMAGENET = PixelRange(1, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def parsed(*arguments: str) -> PixelRange:
    found = []

    @click.command()
    @pixel_range_options
    def command(pixel_range: PixelRange) -> None:
        found.append(pixel_range)

    command(list(arguments), standalone_mode=False)
    return found[0]


@pytest.mark.parametrize(
    "pixel_range",
    [PixelRange(), PixelRange(1), PixelRange(255, invert=True), PixelRange(1, mean=0.1307, std=0.3081), IMAGENET],
)
def test_the_options_of_a_pixel_range_are_read_as_that_range(pixel_range):
    assert parsed(*pixel_range.options.split()) == pixel_range


@pytest.mark.parametrize("value", ["1,2", "a", "", "1,2,x", "1,2,3,4", "nan", "1e9"])
def test_other_numbers_are_refused_in_one_line(value):
    @click.command()
    @pixel_range_options
    def command(pixel_range: PixelRange) -> None:
        raise AssertionError(pixel_range)

    result = CliRunner().invoke(command, ["--mean", value])
    assert result.exit_code != 0
    assert "AssertionError" not in repr(result.exception)
