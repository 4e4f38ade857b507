"""The Open Inference Protocol, version 2, over HTTP, with binary tensors; clients of KServe and Triton use it.

Protocol: https://github.com/kserve/open-inference-protocol (Apache 2.0). Extension for binary tensors:
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md.
"""

import math
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import version
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from digits_edge.runtime.errors import ImageError
from digits_edge.runtime.model.image_input import MAX_SIDE, ImageInput
from digits_edge.runtime.model.model_file import COLUMNS_NAME, INPUT_NAME, OUTPUT_NAME, Metadata
from digits_edge.runtime.pixel_scale import is_scaled
from digits_edge.runtime.service.bodies import body_of
from digits_edge.runtime.service.headers import MAX_LENGTH_DIGITS, header_of
from digits_edge.runtime.service.responses import ErrorResponse, RecordResponse, UnknownModelError
from digits_edge.runtime.service.served_models import MAX_VALUES, ServedModel, ServedModels, ServedReader

#: The only version of a model: the file that the service was started with.
VERSION = "1"
_JSON_LENGTH = "Inference-Header-Content-Length"
_JSON_LENGTH_KEY = _JSON_LENGTH.lower().encode()
#: Clients send requests with binary tensors as application/octet-stream.
_KINDS = ("application/json", "application/octet-stream")
_REMEDY = "send the request as application/json"
#: The JSON of requests and responses with binary tensors is mostly the same: so much of it is remembered, up to a size.
_REMEMBERED, _REMEMBERED_BYTES = 256, 1024

Pixel = Annotated[int, Field(strict=True, ge=0, le=255)]
_Count = Annotated[int, Field(strict=True, ge=0)]
_Pixels = Annotated[list[Pixel], Field(fail_fast=True)]
_Rows = Annotated[list[_Pixels], Field(fail_fast=True)]
_Images = Annotated[list[_Rows], Field(fail_fast=True)]
_ColourImages = Annotated[list[_Images], Field(fail_fast=True)]


class Tensor(BaseModel):
    """Name, data type and shape of an input or output."""

    name: str
    datatype: str
    shape: list[int]


class InputParameters(BaseModel):
    """Parameters of an input."""

    binary_data_size: _Count | None = None


class InferInput(BaseModel):
    """Images, as flat or nested pixels in `data` or as `binary_data_size` bytes after the JSON.

    `shape` is that of the model's input, [N, height, width] or [N, height, width, 3], or flat: [N, values of an image].
    Models that read numbers take lines of any width: [N, height, width].
    """

    name: Literal["image"]
    shape: Annotated[list[_Count], Field(min_length=2, max_length=4)]
    datatype: Literal["UINT8"]
    parameters: InputParameters | None = None
    data: Annotated[_Pixels | _Rows | _Images | _ColourImages, Field(union_mode="left_to_right")] | None = None


class OutputParameters(BaseModel):
    """Parameters of an output."""

    binary_data: Annotated[bool, Field(strict=True)] | None = None


class WantedOutput(BaseModel):
    """A requested output."""

    name: Literal["probabilities", "columns"]
    parameters: OutputParameters | None = None


class InferParameters(BaseModel):
    """Parameters of a request."""

    binary_data_output: Annotated[bool, Field(strict=True)] = False


class InferRequest(BaseModel):
    """Images to classify."""

    id: str | None = None
    parameters: InferParameters | None = None
    inputs: Annotated[list[InferInput], Field(min_length=1, max_length=1)]
    outputs: Annotated[list[WantedOutput], Field(max_length=1)] | None = None


class OutputSize(BaseModel):
    """Size of the binary data after the JSON."""

    binary_data_size: int


class InferOutput(BaseModel):
    """Class probabilities, row by row. A row sums to 1, unless the `output` of the model in `/models` is "sigmoid".

    Models that read numbers have a row for each column of a line: `columns`, [N, T, classes and blank].
    """

    name: Literal["probabilities", "columns"] = "probabilities"
    datatype: Literal["FP32"] = "FP32"
    shape: list[int]
    parameters: OutputSize | None = None
    data: list[float] | None = None


class InferResponse(BaseModel):
    """The predictions for the images of a request."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[InferOutput]


class ServerMetadata(BaseModel):
    """Name, version and protocol extensions of the service."""

    name: str
    version: str
    extensions: list[str]


class ModelMetadata(BaseModel):
    """Inputs and outputs of a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[Tensor]
    outputs: list[Tensor]


class Live(BaseModel):
    """The service is running."""

    live: Literal[True] = True


class Ready(BaseModel):
    """The models are loaded, which is done before the service accepts requests, and none failed since."""

    ready: Literal[True] = True


class ModelReady(BaseModel):
    """The model is loaded."""

    name: str
    ready: Literal[True] = True


class InferenceProtocol:
    """Endpoints of the Open Inference Protocol."""

    def __init__(self, models: ServedModels, *, json_bytes: int, images: int) -> None:
        """Create the endpoints.

        Args:
            models: models of the service.
            json_bytes: maximum size of the JSON of a request.
            images: maximum number of images in a request.
        """
        self._models, self._max_json_bytes, self._max_images = models, json_bytes, images
        self._remembered = lru_cache(_REMEMBERED)(_understood)

    async def live(self, request: Request) -> Response:
        """Confirm that the service is running."""
        return RecordResponse(Live())

    async def ready(self, request: Request) -> Response:
        """Confirm that the models are loaded and none failed."""
        return _failure(self._models) or RecordResponse(Ready())

    async def server(self, request: Request) -> Response:
        """Describe the service."""
        extensions = ["binary_tensor_data"]
        return RecordResponse(ServerMetadata(name="digits-edge", version=version("digits-edge"), extensions=extensions))

    async def model(self, request: Request) -> Response:
        """Describe the inputs and outputs of a model."""
        model = self._requested_model(request)
        metadata = _metadata(model)
        if isinstance(model, ServedReader):
            output = Tensor(name=COLUMNS_NAME, datatype="FP32", shape=[-1, -1, len(metadata.labels) + 1])
            shape = [-1, metadata.input.height, -1]
        else:
            output = Tensor(name=OUTPUT_NAME, datatype="FP32", shape=[-1, len(metadata.labels)])
            shape = [-1, *metadata.input.shape]
        return RecordResponse(
            ModelMetadata(
                name=model.name,
                versions=[VERSION],
                platform="onnxruntime_onnx",
                inputs=[Tensor(name=INPUT_NAME, datatype="UINT8", shape=shape)],
                outputs=[output],
            )
        )

    async def model_ready(self, request: Request) -> Response:
        """Confirm that a model is loaded and did not fail."""
        model = self._requested_model(request)
        served = [] if isinstance(model, ServedReader) else [model]
        return _failure(served) or RecordResponse(ModelReady(name=model.name))

    async def infer(self, request: Request) -> Response:
        """Classify images."""
        model = self._requested_model(request)
        json_part, binary = _split(
            await body_of(request, _KINDS, _REMEDY), header_of(request.scope, _JSON_LENGTH_KEY, None)
        )
        if len(json_part) > self._max_json_bytes:
            raise HTTPException(
                413, f"JSON of {len(json_part):,} bytes; send at most {self._max_json_bytes:,}, or use binary tensors"
            )
        is_short = binary and len(json_part) <= _REMEMBERED_BYTES
        parsed = self._remembered(json_part, model) if is_short else _understood(json_part, model)
        images = _images(parsed.inputs[0], binary, _metadata(model).input)
        if len(images) > self._max_images:
            raise HTTPException(413, f"{len(images):,} images in one request; send at most {self._max_images:,}")
        if is_scaled(images):
            raise HTTPException(
                400, "no pixel is above 1, so the images are probably scaled to 0–1; multiply them by 255"
            )
        if not is_short:
            parsed.inputs.clear()  # a list of Python integers takes thirty times the memory of the uint8 array
        if isinstance(model, ServedReader):
            if images.size > MAX_VALUES:
                raise HTTPException(413, f"{images.size:,} pixels in one request; send at most {MAX_VALUES:,}")
            return _response(model, parsed, await model.columns(images))
        return _response(model, parsed, await model.batcher.predict(images))

    def _requested_model(self, request: Request) -> ServedModel | ServedReader:
        name = request.path_params["model"]
        model: ServedModel | ServedReader
        model = self._models.find_reader(name) if name in self._models.reader_names else self._models.find(name)
        requested = request.path_params.get("version", VERSION)
        if requested != VERSION:
            raise UnknownModelError(f"unknown version {requested!r} of model {model.name}; use version {VERSION}")
        return model


def _failure(models: Iterable[ServedModel]) -> Response | None:
    """The response that a service is not ready because a model failed in its latest batch; None if none failed."""
    failed = [model.name for model in models if model.batcher.has_failed]
    reason = f"{' and '.join(failed)} failed; restart the service if its next requests fail too"
    return ErrorResponse(503, reason) if failed else None


def _split(body: bytes, json_length: str | None) -> tuple[bytes, bytes]:
    """Split a body into the JSON and the binary data after it.

    Args:
        body: body of the request.
        json_length: value of the header `Inference-Header-Content-Length`; None if the body is JSON only.
    """
    if json_length is None:
        return body, b""
    length = int(json_length) if json_length.isdecimal() and len(json_length) <= MAX_LENGTH_DIGITS else len(body) + 1
    if length > len(body):
        raise ImageError(f"{_JSON_LENGTH}: expected the length of the JSON in bytes, at most {len(body)}")
    return body[:length], body[length:]


def _parse(json_part: bytes) -> InferRequest:
    try:
        return InferRequest.model_validate_json(json_part)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "request body"
        raise ImageError(f"{place}: {first['msg']}") from error


def _understood(json_part: bytes, model: ServedModel | ServedReader) -> InferRequest:
    """Parse the JSON of a request to a model, and check all that does not depend on its pixels."""
    request = _parse(json_part)
    name = COLUMNS_NAME if isinstance(model, ServedReader) else OUTPUT_NAME
    if request.outputs and request.outputs[0].name != name:
        raise ImageError(f"outputs.0.name: {request.outputs[0].name!r}, expected {name!r}")
    [tensor], image = request.inputs, _metadata(model).input
    accepted = accepted_shapes(image)
    if not any(_fits(tensor.shape[1:], each) for each in accepted):
        expected = " or ".join(str(["N", *each]).replace("'", "").replace("-1", "W") for each in accepted)
        limit = "" if image.width is not None else f", W from 1 to {MAX_SIDE:,}"
        raise ImageError(f"inputs.0.shape: {tensor.shape}, expected {expected}{limit}")
    if (tensor.parameters is None or tensor.parameters.binary_data_size is None) == (tensor.data is None):
        raise ImageError("inputs.0: expected either data or parameters.binary_data_size")
    return request


def accepted_shapes(image: ImageInput) -> tuple[list[int], ...]:
    """Shapes of one image in requests: that of the model's input, and flat; -1 is any positive number.

    Example:
        >>> accepted_shapes(ImageInput(32, 32, 3)), accepted_shapes(ImageInput(32, None))
        (([32, 32, 3], [3072]), ([32, -1],))
    """
    return ([image.height, -1],) if image.width is None else (list(image.shape), [image.pixels])


def _metadata(model: ServedModel | ServedReader) -> Metadata:
    return model.reader.metadata if isinstance(model, ServedReader) else model.classifier.metadata


def _images(tensor: InferInput, binary: bytes, image: ImageInput) -> NDArray[np.uint8]:
    """Return the images of a request, uint8, (N, H, W) or (N, H, W, 3)."""
    shape, size = tensor.shape, tensor.parameters.binary_data_size if tensor.parameters else None
    if size is not None and size != len(binary):
        raise ImageError(f"inputs.0.parameters.binary_data_size is {size}, but {len(binary)} bytes follow the JSON")
    if size is None and binary:
        raise ImageError(
            f"{len(binary)} bytes follow the JSON; set inputs.0.parameters.binary_data_size, or remove them"
        )
    try:
        pixels = np.frombuffer(binary, np.uint8) if tensor.data is None else np.array(tensor.data, np.uint8)
    except ValueError as error:
        raise ImageError("inputs.0.data: rows have different lengths") from error
    if pixels.size != math.prod(shape):
        raise ImageError(f"inputs.0.data: {pixels.size} pixels, expected {math.prod(shape)} for the shape {shape}")
    return pixels.reshape(shape if image.width is None else (-1, *image.shape))


def _fits(shape: list[int], accepted: list[int]) -> bool:
    return len(shape) == len(accepted) and all(
        size == wanted or (wanted == -1 and 0 < size <= MAX_SIDE) for size, wanted in zip(shape, accepted, strict=True)
    )


def _response(model: ServedModel | ServedReader, request: InferRequest, probabilities: NDArray[np.float32]) -> Response:
    """Create the response, with binary data if the request or its output demands it."""
    is_binary = bool(request.parameters and request.parameters.binary_data_output)
    if request.outputs and (parameters := request.outputs[0].parameters) and parameters.binary_data is not None:
        is_binary = parameters.binary_data
    name: Literal["columns", "probabilities"] = "columns" if isinstance(model, ServedReader) else "probabilities"
    if not is_binary:
        output = InferOutput(name=name, shape=list(probabilities.shape), data=probabilities.ravel().tolist())
        return RecordResponse(_record(model.name, request.id, output), exclude_none=True)
    binary = np.ascontiguousarray(probabilities, "<f4").tobytes()
    is_short = len(request.id or "") <= _REMEMBERED_BYTES
    describe = json_before_binary if is_short else json_before_binary.__wrapped__
    json_part = describe(model.name, request.id, name, probabilities.shape)
    headers: dict[str, Any] = {_JSON_LENGTH: str(len(json_part))}
    return Response(json_part + binary, media_type="application/octet-stream", headers=headers)


@lru_cache(_REMEMBERED)
def json_before_binary(
    model: str, request_id: str | None, name: Literal["columns", "probabilities"], shape: tuple[int, ...]
) -> bytes:
    """The JSON of a response with 32-bit floats after it."""
    output = InferOutput(name=name, shape=list(shape), parameters=OutputSize(binary_data_size=4 * math.prod(shape)))
    return _record(model, request_id, output).model_dump_json(exclude_none=True).encode()


def _record(model: str, request_id: str | None, output: InferOutput) -> InferResponse:
    return InferResponse(model_name=model, model_version=VERSION, id=request_id, outputs=[output])
