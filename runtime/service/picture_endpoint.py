"""The endpoints `POST /predict`, which classifies a picture, and `GET /models`, which lists the models."""

import asyncio
import base64
from concurrent.futures import Executor
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from digits_edge.runtime.checks.occlusion import occlusion_level, occlusion_maps
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.model_file import OutputKind
from digits_edge.runtime.model.steps import PreprocessingStep
from digits_edge.runtime.prediction import Status
from digits_edge.runtime.preprocessing.pictures import open_picture
from digits_edge.runtime.preprocessing.prepared import PreparedPicture
from digits_edge.runtime.service.bodies import body_of
from digits_edge.runtime.service.reading_endpoint import ReaderListing, reader_listings
from digits_edge.runtime.service.responses import RecordResponse
from digits_edge.runtime.service.served_models import ServedModels

#: Accepted content types. The format of a picture is detected from its bytes.
_KINDS = ("application/octet-stream", "image/")
_REMEDY = "send the bytes of the picture: curl -H 'Content-Type: image/png' --data-binary @picture.png"


class Reading(BaseModel):
    """The prediction for a picture.

    `digit` is the index of the predicted class in `labels`, and `label` its name. The probabilities are in the order of
    `labels`; they sum to 1, unless the `output` of the model is "sigmoid".

    `width` and `height` are the size of the decoded picture in pixels: upright, and reduced if a JPEG is large. `box`
    is the region of the ink or object in this picture, if the model looks for one: left, upper, right, lower. `boxes`
    has the region of each digit found; if there are several, `status` is "several" and `digit` is null.

    `image` and `map` are present if `show` requests them. `image` is the uint8 input of the model, row by row, in
    base64; its size is the `input` of the model in `/models`. `map` is the contribution of each pixel to the
    prediction, −1 to 1, row by row.
    """

    model: str
    digit: int | None
    label: str | None
    confidence: float
    probabilities: list[float]
    labels: list[str]
    status: Status
    provider: str
    width: int
    height: int
    box: list[int] | None
    boxes: list[list[int]] = []
    image: str | None = None
    map: list[float] | None = None


class ModelListing(BaseModel):
    """A model with its input, its errors on the test set and its latency for one image, in microseconds.

    `preprocessing` has the steps that convert a picture to the input. `output` is "softmax", or "sigmoid" if the
    probabilities of the classes are independent.
    """

    name: str
    default: bool
    architecture: str
    precision: str
    parameters: int
    bytes: int
    labels: list[str]
    input: ImageInput
    preprocessing: list[PreprocessingStep]
    output: OutputKind
    test_errors: int | None
    test_images: int | None
    test_data: str | None
    latency_us: float
    provider: str
    uncertain_below: float


class ModelListings(BaseModel):
    """All models of the service: those that classify, the default first, and those that read numbers."""

    models: list[ModelListing]
    readers: list[ReaderListing] = []


class PictureEndpoint:
    """The endpoints `/predict` and `/models`."""

    def __init__(self, models: ServedModels, decoders: Executor, *, max_pixels: int) -> None:
        """Create the endpoints.

        Args:
            models: models of the service.
            decoders: runs the decoding and preprocessing of pictures.
            max_pixels: maximum number of pixels in a picture.
        """
        self._models, self._decoders, self._max_pixels = models, decoders, max_pixels

    async def predict(self, request: Request) -> Response:
        """Classify a picture."""
        show = _requested_views(request)
        model = self._models.find(request.query_params.get("model"))
        body, loop = await body_of(request, _KINDS, _REMEDY), asyncio.get_running_loop()
        (width, height), prepared = await loop.run_in_executor(self._decoders, self._prepare, model.classifier, body)
        probabilities = (await model.batcher.predict(prepared.image[np.newaxis]))[0]
        prediction = model.classifier.prediction(prepared.image, probabilities, prepared.boxes)
        occlusion_map = None
        if "map" in show and prediction.digit is not None:
            occlusion_map = await loop.run_in_executor(
                self._decoders, _occlusion_map, model.classifier, prepared.image, prediction.digit
            )
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
                box=None if prepared.box is None else list(prepared.box),
                boxes=[list(box) for box in prediction.boxes],
                image=base64.b64encode(prepared.image.tobytes()).decode() if "image" in show else None,
                map=occlusion_map,
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
                    input=metadata.input,
                    preprocessing=list(metadata.preprocessing),
                    output=metadata.output,
                    test_errors=test.get("errors"),
                    test_images=test.get("images"),
                    test_data=test.get("name"),
                    latency_us=round(model.latency_us, 1),
                    provider=model.classifier.provider,
                    uncertain_below=metadata.uncertain_below,
                )
            )
        return RecordResponse(ModelListings(models=listings, readers=reader_listings(self._models)))

    def _prepare(self, classifier: Classifier, body: bytes) -> tuple[tuple[int, int], PreparedPicture]:
        """Decode a picture and convert it to the input of the model; return its size, too."""
        picture = open_picture(body, most_pixels=self._max_pixels)
        return picture.size, classifier.form(picture)


def _occlusion_map(classifier: Classifier, image: NDArray[np.uint8], index: int) -> list[float]:
    """The contribution of each pixel of an image to the probability of a class, row by row."""
    level = occlusion_level(classifier.metadata.input.polarity)
    predict = partial(classifier.predict_batch, pixel_range=255)
    maps = occlusion_maps(predict, image[np.newaxis], level=level, classes=[index])
    return list(np.round(maps[0, 0].ravel().astype(float), 4).tolist())


def _requested_views(request: Request) -> frozenset[str]:
    """Parse the query parameter `show`."""
    show = frozenset(filter(None, request.query_params.get("show", "").split(",")))
    if unknown := show - {"image", "map"}:
        raise UsageError(f"invalid show={','.join(sorted(unknown))!r}; use image, map or image,map")
    return show
