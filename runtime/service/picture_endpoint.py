"""`POST /predict`: the bytes of a picture in, its digit out; and `GET /models`, what there is to choose from."""

import asyncio
import base64
from concurrent.futures import Executor
from typing import Literal

import numpy as np
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from digits_edge.runtime.checks.occlusion import occlusion_maps
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.preprocessing.mnist_format import PreparedPicture
from digits_edge.runtime.preprocessing.pictures import open_picture
from digits_edge.runtime.service.bodies import body_of
from digits_edge.runtime.service.responses import RecordResponse
from digits_edge.runtime.service.served_models import ServedModels

#: What a picture may call itself; its bytes tell what it is.
_KINDS = ("application/octet-stream", "image/")
_REMEDY = "send the picture's bytes as they are: curl -H 'Content-Type: image/png' --data-binary @digit.png"


class Reading(BaseModel):
    """What a model reads in a picture.

    `width` and `height` are the picture's as it was read: upright, and of a large JPEG a reduction; `box` is where its
    ink is, left, upper, right, lower. `image` and `map` are there where `show` asked for them: the 28 by 28 pixels that
    the model got, as base64, row by row; and how much each of them speaks for the answer, −1 to 1, row by row.
    """

    model: str
    digit: int | None
    label: str | None
    confidence: float
    probabilities: list[float]
    labels: list[str]
    status: Literal["ok", "blank", "uncertain"]
    provider: str
    width: int
    height: int
    box: list[int] | None
    image: str | None = None
    map: list[float] | None = None


class ModelListing(BaseModel):
    """A model to choose, with what was measured of it."""

    name: str
    default: bool
    architecture: str
    precision: str
    parameters: int
    bytes: int
    labels: list[str]
    test_errors: int | None
    test_images: int | None
    test_data: str | None
    latency_us: float
    provider: str
    uncertain_below: float


class ModelListings(BaseModel):
    """All models of the service, the default first."""

    models: list[ModelListing]


class PictureEndpoint:
    """Reads pictures with the models of a service."""

    def __init__(self, models: ServedModels, decoders: Executor, *, most_pixels: int) -> None:
        """Prepare.

        Args:
            models: that read.
            decoders: where pictures are opened and brought to the models' form.
            most_pixels: of one picture.
        """
        self._models, self._decoders, self._most_pixels = models, decoders, most_pixels

    async def predict(self, request: Request) -> Response:
        """Read the digit in a picture."""
        show = _shown(request)
        model = self._models.find(request.query_params.get("model"))
        body, loop = await body_of(request, _KINDS, _REMEDY), asyncio.get_running_loop()
        (width, height), seen = await loop.run_in_executor(self._decoders, self._prepared, model.classifier, body)
        probabilities = (await model.batcher.predict(seen.image[np.newaxis]))[0]
        prediction = model.classifier.prediction(seen.image, probabilities)
        where = None
        if "map" in show and prediction.digit is not None:
            maps = await loop.run_in_executor(
                self._decoders, occlusion_maps, model.classifier.predict_batch, seen.image[np.newaxis]
            )
            where = np.round(maps[0, prediction.digit].ravel().astype(float), 4).tolist()
        return RecordResponse(
            Reading(
                model=model.name,
                digit=prediction.digit,
                label=prediction.label,
                confidence=prediction.confidence,
                probabilities=list(prediction.probabilities),
                labels=list(prediction.labels),
                status=prediction.status,
                provider=prediction.provider,
                width=width,
                height=height,
                box=None if seen.box is None else list(seen.box),
                image=base64.b64encode(seen.image.tobytes()).decode() if "image" in show else None,
                map=where,
            )
        )

    async def models(self, request: Request) -> Response:
        """List the models."""
        listings = []
        for model in self._models:
            metadata = model.classifier.metadata
            test = metadata.test or {}
            listings.append(
                ModelListing(
                    name=model.name,
                    default=model.is_default,
                    architecture=metadata.architecture,
                    precision=metadata.precision,
                    parameters=metadata.parameters,
                    bytes=model.bytes,
                    labels=list(metadata.labels),
                    test_errors=test.get("errors"),
                    test_images=test.get("images"),
                    test_data=test.get("name"),
                    latency_us=round(model.latency_us, 1),
                    provider=model.classifier.provider,
                    uncertain_below=metadata.uncertain_below,
                )
            )
        return RecordResponse(ModelListings(models=listings))

    def _prepared(self, classifier: Classifier, body: bytes) -> tuple[tuple[int, int], PreparedPicture]:
        picture = open_picture(body, most_pixels=self._most_pixels)
        return picture.size, classifier.form(picture)


def _shown(request: Request) -> frozenset[str]:
    """What `show` asks for beside the answer."""
    show = frozenset(filter(None, request.query_params.get("show", "").split(",")))
    if unknown := show - {"image", "map"}:
        raise UsageError(f"show is {','.join(sorted(unknown))!r}; it may be image, map, or image,map")
    return show
