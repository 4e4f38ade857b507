"""The Open Inference Protocol, version 2, over HTTP, with its binary tensors: what KServe's and Triton's clients speak.

The protocol: https://github.com/kserve/open-inference-protocol (Apache 2.0); its extension of binary tensors:
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md.
"""

import math
from importlib.metadata import version
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from digits_edge.runtime.errors import ImageError
from digits_edge.runtime.model.model_file import INPUT_NAME, OUTPUT_NAME
from digits_edge.runtime.service.bodies import body_of
from digits_edge.runtime.service.responses import RecordResponse, UnknownModelError
from digits_edge.runtime.service.served_models import ServedModel, ServedModels

#: A service has one version of a model, the file it was started with.
VERSION = "1"
_HEAD_LENGTH = "Inference-Header-Content-Length"
_LENGTH_DIGITS = 12
_SIDE = 28
#: With binary tensors behind it the JSON calls itself a stream of bytes.
_KINDS = ("application/json", "application/octet-stream")
_REMEDY = "send the request as application/json"

Pixel = Annotated[int, Field(strict=True, ge=0, le=255)]
_Count = Annotated[int, Field(strict=True, ge=0)]
_Pixels = Annotated[list[Pixel], Field(fail_fast=True)]
_Rows = Annotated[list[_Pixels], Field(fail_fast=True)]
_Images = Annotated[list[_Rows], Field(fail_fast=True)]


class Tensor(BaseModel):
    """A tensor's kind, as metadata have it."""

    name: str
    datatype: str
    shape: list[int]


class InputParameters(BaseModel):
    """Of one input."""

    binary_data_size: _Count | None = None


class InferInput(BaseModel):
    """Images: flat or nested pixels, or `binary_data_size` bytes behind the JSON."""

    name: Literal["image"]
    shape: tuple[_Count, Literal[28], Literal[28]] | tuple[_Count, Literal[784]]
    datatype: Literal["UINT8"]
    parameters: InputParameters | None = None
    data: Annotated[_Pixels | _Rows | _Images, Field(union_mode="left_to_right")] | None = None


class OutputParameters(BaseModel):
    """Of one output."""

    binary_data: Annotated[bool, Field(strict=True)] | None = None


class WantedOutput(BaseModel):
    """An output that is asked for."""

    name: Literal["probabilities"]
    parameters: OutputParameters | None = None


class InferParameters(BaseModel):
    """Of a whole request."""

    binary_data_output: Annotated[bool, Field(strict=True)] = False


class InferRequest(BaseModel):
    """Images to be read."""

    id: str | None = None
    parameters: InferParameters | None = None
    inputs: Annotated[list[InferInput], Field(min_length=1, max_length=1)]
    outputs: Annotated[list[WantedOutput], Field(max_length=1)] | None = None


class OutputSize(BaseModel):
    """Where the data stand behind the JSON."""

    binary_data_size: int


class InferOutput(BaseModel):
    """Probabilities, row by row."""

    name: Literal["probabilities"] = "probabilities"
    datatype: Literal["FP32"] = "FP32"
    shape: list[int]
    parameters: OutputSize | None = None
    data: list[float] | None = None


class InferResponse(BaseModel):
    """The answers to a request's images."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[InferOutput]


class ServerMetadata(BaseModel):
    """What the service is."""

    name: str
    version: str
    extensions: list[str]


class ModelMetadata(BaseModel):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[Tensor]
    outputs: list[Tensor]


class Live(BaseModel):
    """That the process answers; where it does not there is no answer."""

    live: Literal[True] = True


class Ready(BaseModel):
    """That the models are open; they are before the first request is taken."""

    ready: Literal[True] = True


class ModelReady(BaseModel):
    """That a model is open."""

    name: str
    ready: Literal[True] = True


class InferenceProtocol:
    """The protocol's endpoints, over the models of a service."""

    def __init__(self, models: ServedModels, *, json_bytes: int, images: int) -> None:
        """Prepare.

        Args:
            models: that answer.
            json_bytes: of a request's JSON, at most.
            images: of a request, at most.
        """
        self._models, self._json_bytes, self._most_images = models, json_bytes, images

    async def live(self, request: Request) -> Response:
        """Whether the process answers."""
        return RecordResponse(Live())

    async def ready(self, request: Request) -> Response:
        """Whether the models are open."""
        return RecordResponse(Ready())

    async def server(self, request: Request) -> Response:
        """What the service is."""
        extensions = ["binary_tensor_data"]
        return RecordResponse(ServerMetadata(name="digits-edge", version=version("digits-edge"), extensions=extensions))

    async def model(self, request: Request) -> Response:
        """What a model takes and gives."""
        model = self._asked(request)
        return RecordResponse(
            ModelMetadata(
                name=model.name,
                versions=[VERSION],
                platform="onnxruntime_onnx",
                inputs=[Tensor(name=INPUT_NAME, datatype="UINT8", shape=[-1, _SIDE, _SIDE])],
                outputs=[Tensor(name=OUTPUT_NAME, datatype="FP32", shape=[-1, len(model.classifier.labels)])],
            )
        )

    async def model_ready(self, request: Request) -> Response:
        """Whether a model is ready."""
        return RecordResponse(ModelReady(name=self._asked(request).name))

    async def infer(self, request: Request) -> Response:
        """Read images."""
        model = self._asked(request)
        head, binary = _parted(await body_of(request, _KINDS, _REMEDY), request.headers.get(_HEAD_LENGTH))
        if len(head) > self._json_bytes:
            raise HTTPException(413, f"the JSON has more than {self._json_bytes:,} bytes; send binary tensors")
        asked = _parsed(head)
        images = _images(asked.inputs[0], binary)
        if len(images) > self._most_images:
            raise HTTPException(413, f"{len(images):,} images; send {self._most_images:,} at most at once")
        asked.inputs.clear()  # numbers of Python are thirty times as large as the pixels
        return _answer(model, asked, await model.batcher.predict(images))

    def _asked(self, request: Request) -> ServedModel:
        model = self._models.find(request.path_params["model"])
        wanted = request.path_params.get("version", VERSION)
        if wanted != VERSION:
            raise UnknownModelError(f"{model.name} has no version {wanted!r}; there is {VERSION}")
        return model


def _parted(body: bytes, head_length: str | None) -> tuple[bytes, bytes]:
    """The JSON, and the bytes behind it."""
    if head_length is None:
        return body, b""
    if not head_length.isdecimal() or len(head_length) > _LENGTH_DIGITS or int(head_length) > len(body):
        raise ImageError(f"{_HEAD_LENGTH} is no length of the JSON, {len(body)} at most")
    return body[: int(head_length)], body[int(head_length) :]


def _parsed(head: bytes) -> InferRequest:
    try:
        return InferRequest.model_validate_json(head)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        if first["loc"][2:3] == ("shape",):
            raise ImageError(f"{place}: must be [N, 28, 28] or [N, 784]") from error
        raise ImageError(f"{place}: {first['msg']}") from error


def _images(tensor: InferInput, binary: bytes) -> NDArray[np.uint8]:
    """The images that a request brings, (N, 28, 28)."""
    shape = list(tensor.shape)
    size = tensor.parameters.binary_data_size if tensor.parameters else None
    if (size is None) == (tensor.data is None):
        raise ImageError("inputs.0: needs either data or parameters.binary_data_size")
    if size is not None and size != len(binary):
        raise ImageError(f"inputs.0.parameters.binary_data_size: {size}, but {len(binary)} bytes follow the JSON")
    if size is None and binary:
        raise ImageError(f"{len(binary)} bytes follow the JSON that no input claims")
    try:
        pixels = np.frombuffer(binary, np.uint8) if tensor.data is None else np.array(tensor.data, np.uint8)
    except ValueError as error:
        raise ImageError("inputs.0.data: rows of different lengths") from error
    if pixels.size != math.prod(shape):
        raise ImageError(f"inputs.0.data: {pixels.size} pixels, but the shape {shape} has {math.prod(shape)}")
    return pixels.reshape(-1, _SIDE, _SIDE)


def _answer(model: ServedModel, asked: InferRequest, probabilities: NDArray[np.float32]) -> Response:
    binary = bool(asked.parameters and asked.parameters.binary_data_output)
    if asked.outputs and (wanted := asked.outputs[0].parameters) and wanted.binary_data is not None:
        binary = wanted.binary_data
    packed = np.ascontiguousarray(probabilities, "<f4").tobytes() if binary else b""
    output = InferOutput(
        shape=list(probabilities.shape),
        parameters=OutputSize(binary_data_size=len(packed)) if binary else None,
        data=None if binary else probabilities.ravel().tolist(),
    )
    record = InferResponse(model_name=model.name, model_version=VERSION, id=asked.id, outputs=[output])
    if not binary:
        return RecordResponse(record, leave_out_null=True)
    head = record.model_dump_json(exclude_none=True).encode()
    headers: dict[str, Any] = {_HEAD_LENGTH: str(len(head))}
    return Response(head + packed, media_type="application/octet-stream", headers=headers)
