"""The endpoint `POST /read`, which reads the numbers in a picture."""

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass

from pydantic import BaseModel
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.preprocessing.pictures import full_size, open_picture
from digits_edge.runtime.reader.constraints import constraint_of
from digits_edge.runtime.reader.line_reader import Wanted
from digits_edge.runtime.reader.reader import JPEG_SIDE, Reader
from digits_edge.runtime.reader.reading import Reading, ReadingStatus
from digits_edge.runtime.reader.region import Region, parse_region
from digits_edge.runtime.service.bodies import body_of
from digits_edge.runtime.service.responses import RecordResponse
from digits_edge.runtime.service.served_models import ServedModels

_KINDS = ("application/octet-stream", "image/")
_REMEDY = "send the bytes of the picture: curl -H 'Content-Type: image/png' --data-binary @picture.png"
#: Maximum number of regions of a request: each is searched for lines.
MAX_REGIONS = 64


class DigitRecord(BaseModel):
    """A character of a number, its probability, and the box of its ink: left, upper, right, lower in pixels."""

    digit: str
    confidence: float
    box: list[int]


class AlternativeRecord(BaseModel):
    """Another number that a line may show, and its probability."""

    text: str
    confidence: float


class LineRecord(BaseModel):
    """A line: its number with the separators as written, empty if no number satisfies the constraints."""

    text: str
    confidence: float
    status: ReadingStatus
    box: list[int]
    digits: list[DigitRecord]
    alternatives: list[AlternativeRecord]


class NumbersReading(BaseModel):
    """The numbers in a picture.

    `width` and `height` are the size of the upright picture in pixels; all boxes are in it. `status` is that of the
    least certain line; without a number it is "blank" or "not-a-number".
    """

    model: str
    provider: str
    width: int
    height: int
    status: ReadingStatus
    lines: list[LineRecord]


class ReaderListing(BaseModel):
    """A model that reads numbers: its characters, and the confidence below which a number is uncertain."""

    name: str
    architecture: str
    precision: str
    parameters: int
    bytes: int
    characters: str
    provider: str
    uncertain_below: float


@dataclass(frozen=True)
class _Options:
    """The query parameters of a request."""

    length: int | None
    pattern: str | None
    check: str | None
    regions: tuple[Region, ...]


class ReadingEndpoint:
    """The endpoint `/read`."""

    def __init__(self, models: ServedModels, decoders: Executor, *, max_pixels: int) -> None:
        """Create the endpoint.

        Args:
            models: models of the service.
            decoders: runs the decoding and reading of pictures.
            max_pixels: maximum number of pixels in a picture.
        """
        self._models, self._decoders, self._max_pixels = models, decoders, max_pixels

    async def read(self, request: Request) -> Response:
        """Read the numbers in a picture."""
        options = _options(request.query_params)
        served = self._models.find_reader(request.query_params.get("model"))
        body, loop = await body_of(request, _KINDS, _REMEDY), asyncio.get_running_loop()
        (width, height), reading = await loop.run_in_executor(self._decoders, self._read, served.reader, body, options)
        lines = [LineRecord.model_validate(line.to_json()) for line in reading.lines]
        return RecordResponse(
            NumbersReading(
                model=served.name,
                provider=served.reader.provider,
                width=width,
                height=height,
                status=reading.status,
                lines=lines,
            )
        )

    def _read(self, reader: Reader, body: bytes, options: _Options) -> tuple[tuple[int, int], Reading]:
        """Decode a picture and read it; return its size, too."""
        constraint = constraint_of(options.length, options.pattern, options.check, characters=reader.characters)
        picture = open_picture(body, most_pixels=self._max_pixels, jpeg_side=JPEG_SIDE)
        size = full_size(picture)
        boxes = [region.box(size) for region in options.regions] or None
        return size, reader.read_picture(picture, Wanted(constraint), boxes)


def _options(query: QueryParams) -> _Options:
    length = query.get("length")
    if length is not None and not (length.isascii() and length.isdecimal() and len(length) <= 3):
        raise UsageError(f"invalid length={length!r}; use a number of digits")
    regions = query.getlist("region")
    if len(regions) > MAX_REGIONS:
        raise UsageError(f"{len(regions)} regions in one request; send at most {MAX_REGIONS}")
    return _Options(
        None if length is None else int(length),
        query.get("pattern"),
        query.get("check"),
        tuple(parse_region(region) for region in regions),
    )


def reader_listings(models: ServedModels) -> list[ReaderListing]:
    """List the models that read numbers."""
    return [
        ReaderListing(
            name=served.name,
            architecture=served.reader.metadata.architecture,
            precision=served.reader.metadata.precision,
            parameters=served.reader.metadata.parameters,
            bytes=served.bytes,
            characters=served.reader.characters,
            provider=served.reader.provider,
            uncertain_below=served.reader.metadata.uncertain_below,
        )
        for served in models.readers.values()
    ]
