"""Options that say how the images of `--data` are read, and `PictureOptions.load`, which reads them."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Any, Literal, cast

import click

from digits_edge.cli.output import note, progress
from digits_edge.runtime.datasets import Dataset, load
from digits_edge.runtime.datasets.fitting import fitted
from digits_edge.runtime.datasets.options import ReadingOptions
from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.model.image_input import ImageInput, Polarity
from digits_edge.runtime.model.steps import PreprocessingStep

_INPUT = re.compile(r"([0-9]{1,6})[x×]([0-9]{1,6})(?:[x×]([13]))?")
#: Number of skipped pictures that are listed.
_LISTED = 3

#: Parameter names of `picture_options` and `reading_options`.
INPUT_OPTIONS, READING_OPTIONS = ("image", "polarity"), ("transposed", "skip_damaged")


@dataclass(frozen=True)
class PictureOptions:
    """How the images of `--data` are read.

    Attributes:
        image: value of `--input`, and polarity; None for the usual input of the data.
        polarity: value of `--polarity`.
        transposed: whether `--transposed` is given.
        skip_damaged: whether `--skip-damaged` is given.
    """

    image: ImageInput | None = None
    polarity: Polarity | None = None
    transposed: bool = False
    skip_damaged: bool = False
    _skipped: list[str] = field(default_factory=list, compare=False)

    def reading(self, recorded: ReadingOptions | None = None) -> ReadingOptions:
        """Options of `load`; the input and the steps of a model or run, `recorded`, apply unless `--input` is given."""
        options = recorded or ReadingOptions()
        if options.image is not None:
            options = replace(options, polarity=options.image.polarity)
        if self.image is not None:
            options = ReadingOptions(image=self.image)
        if self.polarity is not None:
            image = options.image and replace(options.image, polarity=self.polarity)
            options = replace(options, image=image, polarity=self.polarity)
        return replace(
            options,
            transposed=True if self.transposed else None,
            on_damaged=(lambda path, reason: self._skipped.append(reason)) if self.skip_damaged else None,
        )

    def load(
        self,
        source: str,
        split: Literal["train", "test"],
        data: str | None,
        *,
        recorded: ReadingOptions | None = None,
        disk: Path | None = None,
    ) -> Dataset:
        """Read a split of a data set with a progress bar, and print the pictures that are skipped.

        Args:
            source: name of the data set.
            split: "train" or "test".
            data: value of `--data`, which takes precedence over `source`.
            recorded: input and steps of a model or run.
            disk: as for `load`.

        Returns:
            The images; those of files are converted to the input if their shape differs.
        """
        options = self.reading(recorded)
        dataset = load(source, split, data=data, progress=progress("reading data"), disk=disk, options=options)
        self.note_skipped()
        return dataset if options.image is None else fitted(dataset, options.image, progress=progress("converting"))

    def note_skipped(self) -> None:
        """Print the damaged pictures that were skipped since the last call."""
        if self._skipped:
            more = f"; and {len(self._skipped) - _LISTED} more" if len(self._skipped) > _LISTED else ""
            note(f"skipped {len(self._skipped)} damaged pictures: {'; '.join(self._skipped[:_LISTED])}{more}")
            self._skipped.clear()


def reading_of(image: ImageInput, steps: tuple[PreprocessingStep, ...]) -> ReadingOptions:
    """Options with which images are read as a model's inputs.

    Args:
        image: input of the model.
        steps: preprocessing steps of the model; empty if they are unknown.
    """
    return ReadingOptions(image, steps or None, image.polarity)


def parse_input(text: str, polarity: Polarity | None = None) -> ImageInput:
    """Parse the value of `--input`.

    Args:
        text: height, width and, unless it is 1, the number of channels.
        polarity: None for as photographed.

    Raises:
        UsageError: the text has another form, or a side is too long.

    Example:
        >>> parse_input("32x48x3").shape, parse_input("28x28").shape
        ((32, 48, 3), (28, 28))
    """
    match = _INPUT.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--input {text!r} is not HEIGHTxWIDTH or HEIGHTxWIDTHx3; for example, use 32x32x3")
    channels = cast(Literal[1, 3], int(match[3] or 1))
    return ImageInput(int(match[1]), int(match[2]), channels, polarity or "as-photographed")


def picture_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--input`, `--polarity` and `reading_options`; the command receives them as one `pictures`."""

    @wraps(function)
    def command(*, image: str | None, polarity: Polarity | None, pictures: PictureOptions, **options: Any) -> Any:
        parsed = None if image is None else parse_input(image, polarity)
        return function(pictures=replace(pictures, image=parsed, polarity=polarity), **options)

    input_text = (
        "Height, width and channels (1 or 3) of the model's images, such as 32x32x3; a folder's pictures are converted."
        "  [default: the common size of the pictures, otherwise 32x32x3]"
    )
    polarity_text = (
        "white-on-black for ink that is light on a dark ground, as in MNIST; single characters are then found on their "
        "paper.  [default: as-photographed for folders of pictures]"
    )
    added = click.option("--polarity", type=click.Choice(["white-on-black", "as-photographed"]), help=polarity_text)(
        reading_options(command)
    )
    return click.option("--input", "image", metavar="HxW[xC]", help=input_text)(added)


def reading_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--transposed` and `--skip-damaged`; the command receives them as one `pictures`."""

    @wraps(function)
    def command(*args: Any, transposed: bool, skip_damaged: bool, **options: Any) -> Any:
        return function(*args, pictures=PictureOptions(None, None, transposed, skip_damaged), **options)

    transposed_text = "Exchange rows and columns of the images, as files named emnist-… need it without this option."
    added = click.option("--skip-damaged", is_flag=True, help="Skip pictures that cannot be read.")(command)
    return click.option("--transposed", is_flag=True, help=transposed_text)(added)
