"""`Reader`: reads the numbers in a picture, with a sequence model."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

from PIL import Image

from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.opened_model import OpenedModel
from digits_edge.runtime.preprocessing.levels import Box
from digits_edge.runtime.preprocessing.pictures import open_picture
from digits_edge.runtime.preprocessing.transparency import without_idle_alpha
from digits_edge.runtime.reader.constraints import constraint_of
from digits_edge.runtime.reader.line_model import LineModel
from digits_edge.runtime.reader.line_reader import Wanted, read_line
from digits_edge.runtime.reader.lines import FoundLine, find_lines
from digits_edge.runtime.reader.reading import Line, Reading, reading_of
from digits_edge.runtime.reader.region import RegionError
from digits_edge.runtime.session.provider_names import AUTO

if TYPE_CHECKING:
    from digits_edge.runtime.preprocessing.pictures import PictureSource

#: Large JPEGs are reduced, but no side below this number of pixels: a line of a form is a fortieth of a page.
JPEG_SIDE = 1200
#: Turns that are tried if a page cannot be read upright, in degrees clockwise, and the transposition that does each.
_TURNS = {
    90: Image.Transpose.ROTATE_270,
    270: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
}
#: A page is turned if the mean confidence of its characters is below the first number, and read turned if it is then at
#: least the second one, more than that by this factor, and a line has so many digits.
TURN_BELOW, MIN_TURNED, TURN_FACTOR, MIN_TURNED_DIGITS = 0.5, 0.6, 1.5, 3
#: Digits that are digits upside down, too; a page of these is not turned by 180 degrees.
_ALSO_UPSIDE_DOWN = frozenset("01689")


class Reader(OpenedModel):
    """Reads numbers: a sequence model, bound to an execution provider of onnxruntime.

    A reader can be shared by threads and pickled, and is a context manager.

    Attributes:
        metadata: description of the model, as stored in the file.
        provider: short name of the bound execution provider.

    Example:
        >>> with Reader() as reader:  # doctest: +SKIP
        ...     reading = reader.read("form.jpg")
        >>> [(line.text, line.status) for line in reading.lines]  # doctest: +SKIP
        [('74213', 'ok')]
    """

    def __init__(
        self, model: str | os.PathLike[str] | None = None, *, provider: str = AUTO, threads: int | None = None
    ) -> None:
        """Open a model.

        Args:
            model: name of a bundled model (`number-int8`), path of a model file, or None for the default model.
            provider: "cpu" or another execution provider of onnxruntime; "auto" for the CPU's.
            threads: number of threads, 1 to 1024; None for all that this process may use.

        Raises:
            ModelError: the model does not exist, its file is damaged, it classifies single images, or the provider
                cannot be bound.
            UsageError: the provider is unknown, or `threads` is out of range.
        """
        self._wanted = {"provider": provider, "threads": threads}
        self._model: LineModel | None = LineModel(model, provider, threads)
        self.path, self.metadata, self.provider = self._model.path, self._model.metadata, self._model.provider
        self.threads = self._model.threads

    @property
    def characters(self) -> str:
        """The characters that the model reads."""
        return "".join(self.metadata.labels)

    @property
    def model(self) -> LineModel:
        """The opened model.

        Raises:
            UsageError: the reader is closed.
        """
        if self._model is None:
            raise UsageError("the reader is closed; create a new one")
        return self._model

    def read(
        self,
        source: "PictureSource",
        *,
        length: int | None = None,
        pattern: str | None = None,
        check: str | Callable[[str], bool] | None = None,
        regions: Sequence[Box] | None = None,
    ) -> Reading:
        """Read the numbers in a picture.

        Constraints are applied inside the search: numbers that break them are not candidates.

        Args:
            source: a path, the bytes of a file, a binary file object, a Pillow image or an array.
            length: number of digits of every number; separators are not counted.
            pattern: for example "NNNN NN": N is a digit, a space may be missing, other characters must be written.
            check: "luhn", "iban", "iban:DE" (and other countries), "isbn13", or a function of the text.
            regions: left, upper, right, lower of fields with one number each, in pixels of the upright picture. A field
                with several numbers is uncertain. By default, all lines of the picture are read.

        Returns:
            The reading; its boxes are in pixels of the upright picture.

        Raises:
            ImageError: the source is not a picture, or is damaged.
            InputError: the file cannot be read.
            ModelError: the provider failed.
            UsageError: a constraint or a region is invalid, or the reader is closed.
        """
        name, function = (check, None) if check is None or isinstance(check, str) else (None, check)
        wanted = Wanted(constraint_of(length, pattern, name, characters=self.characters), function)
        picture = open_picture(source, jpeg_side=JPEG_SIDE)
        return self.read_picture(picture, wanted, regions)

    def read_picture(self, picture: Image.Image, wanted: Wanted, regions: Sequence[Box] | None = None) -> Reading:
        """Read an opened picture; see `read`.

        Args:
            picture: Image as `open_picture` returns it.
            wanted: what the numbers must satisfy.
            regions: as in `read`.
        """
        from digits_edge.runtime.preprocessing.pictures import full_size

        size = full_size(picture)
        picture = without_idle_alpha(picture)
        if regions is not None:
            lines = [
                self._field(picture, _scaled(_checked(each, size), size, picture.size), wanted) for each in regions
            ]
            reading = reading_of(tuple(lines))
        else:
            reading = self._page(picture, wanted)
        return _resized(reading, picture.size, size)

    def _page(self, picture: Image.Image, wanted: Wanted) -> Reading:
        """Read all lines, of the turned picture if it is on its side."""
        found = find_lines(picture)
        best = self._lines(picture, found, wanted)
        if not found or _confidence(best) >= TURN_BELOW:
            return best
        upright = best
        for degrees, transposition in _TURNS.items():
            turned = picture.transpose(transposition)
            lines = find_lines(turned)
            if max((line.parts for line in lines), default=0) < MIN_TURNED_DIGITS:
                continue
            reading = self._lines(turned, lines, wanted)
            if _is_turned(reading, degrees) and _confidence(reading) > max(
                MIN_TURNED, _confidence(best), TURN_FACTOR * _confidence(upright)
            ):
                best = _turned_back(reading, degrees, picture.size)
        return best

    def _lines(self, picture: Image.Image, found: list[FoundLine], wanted: Wanted) -> Reading:
        lines = [read_line(self.model, picture, line, wanted) for line in found]
        numbers = tuple(line for line in lines if line.status in ("ok", "uncertain"))
        return reading_of(numbers) if numbers else replace(reading_of(tuple(lines)), lines=())

    def _field(self, picture: Image.Image, region: Box, wanted: Wanted) -> Line:
        """Read the one number of a field."""
        field = picture.crop(region)
        found = find_lines(field) or [FoundLine((0, 0, *field.size))]
        lines = [read_line(self.model, field, line, wanted) for line in found]
        best = max(lines, key=lambda line: (line.confidence, line.status != "blank"))
        if sum(line.status in ("ok", "uncertain") for line in lines) > 1:
            best = replace(best, status="uncertain")  # which of them is the number of the field?
        return _moved(best, lambda box: _shifted(box, region))

    def close(self) -> None:
        """Free the model's memory. The reader cannot be used afterwards; closing twice is allowed."""
        self._model = None

    def _options(self) -> dict[str, Any]:
        return self._wanted


def _confidence(reading: Reading) -> float:
    """The mean confidence of the lines, weighted by their characters; 0 without any."""
    characters = sum(len(line.text) for line in reading.lines)
    return sum(line.confidence * len(line.text) for line in reading.lines) / max(1, characters)


def _is_turned(reading: Reading, degrees: int) -> bool:
    """Whether a reading is evidence that the page was turned by so many degrees."""
    longest = max((line.text for line in reading.lines), key=len, default="")
    digits = [character for character in longest if character.isdecimal()]
    is_certain = degrees != 180 or not _ALSO_UPSIDE_DOWN.issuperset(digits)
    return len(digits) >= MIN_TURNED_DIGITS and is_certain


def _checked(region: Box, size: tuple[int, int]) -> Box:
    if not isinstance(region, Sequence) or len(region) != 4 or not all(isinstance(side, Integral) for side in region):
        raise UsageError(f"region {region!r}: use left, upper, right, lower in pixels, and a list of such regions")
    left, upper, right, lower = region
    if not (0 <= left < right <= size[0] and 0 <= upper < lower <= size[1]):
        raise RegionError(
            f"region {','.join(map(str, region))} is not in the picture of {size[0]}×{size[1]} pixels; "
            "use left,upper,right,lower"
        )
    return region


def _scaled(box: Box, old: tuple[int, int], new: tuple[int, int]) -> Box:
    """A box in another size of the picture, not empty."""
    if old == new:
        return box
    x, y = new[0] / old[0], new[1] / old[1]
    left, upper = min(int(box[0] * x), new[0] - 1), min(int(box[1] * y), new[1] - 1)
    return left, upper, max(left + 1, min(new[0], round(box[2] * x))), max(upper + 1, min(new[1], round(box[3] * y)))


def _shifted(box: Box, region: Box) -> Box:
    return box[0] + region[0], box[1] + region[1], box[2] + region[0], box[3] + region[1]


def _moved(line: Line, move: Callable[[Box], Box]) -> Line:
    """The line with other boxes."""
    return replace(line, box=move(line.box), digits=tuple(replace(each, box=move(each.box)) for each in line.digits))


def _resized(reading: Reading, old: tuple[int, int], new: tuple[int, int]) -> Reading:
    """The reading with the boxes in another size of the picture."""
    if old == new:
        return reading
    return replace(reading, lines=tuple(_moved(line, lambda box: _scaled(box, old, new)) for line in reading.lines))


def _turned_back(reading: Reading, degrees: int, size: tuple[int, int]) -> Reading:
    """The reading of a picture that was turned clockwise, with the boxes in the picture before.

    Args:
        reading: the reading of the turned picture.
        degrees: 90, 180 or 270.
        size: width and height of the picture before.
    """
    width, height = size

    def back(box: Box) -> Box:
        left, upper, right, lower = box
        if degrees == 180:
            return width - right, height - lower, width - left, height - upper
        if degrees == 90:
            return upper, height - right, lower, height - left
        return width - lower, left, width - upper, right

    return replace(reading, lines=tuple(_moved(line, back) for line in reading.lines), turned_degrees=degrees)
