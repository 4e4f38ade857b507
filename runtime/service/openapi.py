"""OpenAPI 3.1 description of the service, with schemas generated from the response records: `openapi`."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from digits_edge.runtime.model.image_input import MAX_SIDE, ImageInput
from digits_edge.runtime.reader.constraints import CHECKS, IBAN_LENGTHS
from digits_edge.runtime.service.inference_protocol import (
    InferRequest,
    InferResponse,
    Live,
    ModelMetadata,
    ModelReady,
    Ready,
    ServerMetadata,
    accepted_shapes,
)
from digits_edge.runtime.service.picture_endpoint import ModelListings, Reading
from digits_edge.runtime.service.reading_endpoint import NumbersReading
from digits_edge.runtime.service.responses import Failure

_RECORDS: tuple[type[BaseModel], ...] = (
    Failure,
    InferResponse,
    Live,
    ModelListings,
    ModelMetadata,
    ModelReady,
    NumbersReading,
    Reading,
    Ready,
    ServerMetadata,
)
_ERRORS = {
    400: "Invalid request; the error message says what to change.",
    401: "Missing or wrong API key.",
    403: "Cross-site request of a browser.",
    404: "Unknown model or version.",
    408: "The request body did not arrive in time.",
    413: "The request body has too many bytes or images.",
    415: "Unsupported content type or encoding.",
    429: "The service is busy; `Retry-After` has the seconds to wait.",
    503: "Processing took too long, or a model failed.",
}
_WIDTH = {"type": "integer", "minimum": 1, "maximum": MAX_SIDE}
#: Schema of the query parameter `region`, which may be repeated.
_REGIONS = {"type": "array", "items": {"type": "string", "examples": ["10%,5%,40%,9%"]}}
_CHECKS = [*CHECKS, *(f"iban:{country}" for country in IBAN_LENGTHS)]
_REFERENCE = "#/components/schemas/{model}"


def openapi(inputs: Sequence[ImageInput], *, with_key: bool) -> dict[str, Any]:
    """Create the description.

    Args:
        inputs: inputs of the models, the default model's first.
        with_key: whether the service requires an API key.

    Returns:
        A JSON object.

    Example:
        >>> description = openapi([ImageInput()], with_key=True)
        >>> description["openapi"], description["security"]
        ('3.1.0', [{'key': []}])
    """
    _, requests = models_json_schema([(InferRequest, "validation")], ref_template=_REFERENCE)
    _, responses = models_json_schema([(record, "serialization") for record in _RECORDS], ref_template=_REFERENCE)
    components: dict[str, Any] = {"schemas": responses["$defs"] | requests["$defs"]}
    components["schemas"]["InferInput"]["properties"]["shape"] = _shapes(inputs)
    if with_key:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "digits-edge",
            "version": version("digits-edge"),
            "description": "Classifies pictures, and images by the Open Inference Protocol.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _pictures() | _protocol() | {"/metrics": {"get": _metrics()}},
        "components": components,
        "security": [{"key": []}] if with_key else [],
    }


def _pictures() -> dict[str, Any]:
    picture = {"schema": {"type": "string", "format": "binary"}}
    return {
        "/predict": {
            "post": {
                "operationId": "predict",
                "summary": "Classify a picture",
                "parameters": [
                    _query("model", {"type": "string"}, "Name of a model; the default model if omitted.", "edge-int8"),
                    _query(
                        "show",
                        {"enum": ["image", "map", "image,map"]},
                        "Optional parts of the response: model input, and contribution of each pixel.",
                    ),
                ],
                "requestBody": {
                    "required": True,
                    "description": "Picture file: PNG, JPEG, BMP, GIF, WebP, TIFF or PNM.",
                    "content": {"image/png": picture, "image/jpeg": picture, "application/octet-stream": picture},
                },
                "responses": _responses(Reading, 400, 403, 404, 408, 413, 415, 429, 503),
            }
        },
        "/read": {
            "post": {
                "operationId": "read",
                "summary": "Read the numbers in a picture",
                "parameters": [
                    _query("model", {"type": "string"}, "Name of a model; the first that reads numbers if omitted."),
                    _query("length", {"type": "integer", "minimum": 1, "maximum": 64}, "Number of digits."),
                    _query("pattern", {"type": "string"}, "N is a digit, a space may be missing.", "NNNN NN"),
                    _query("check", {"enum": _CHECKS}, "Check that numbers satisfy; iban:DE names a country, too."),
                    _query("region", _REGIONS, "Fields with one number each; all lines if omitted."),
                ],
                "requestBody": {
                    "required": True,
                    "description": "Picture file: PNG, JPEG, BMP, GIF, WebP, TIFF or PNM.",
                    "content": {"image/png": picture, "image/jpeg": picture, "application/octet-stream": picture},
                },
                "responses": _responses(NumbersReading, 400, 403, 404, 408, 413, 415, 429, 503),
            }
        },
        "/models": {
            "get": {
                "operationId": "models",
                "summary": "List the models with their measurements",
                "responses": _responses(ModelListings),
            }
        },
    }


def _protocol() -> dict[str, Any]:
    paths: dict[str, Any] = {
        "/v2/health/live": _get("live", "Check that the service is running", Live, open_to_all=True),
        "/v2/health/ready": _get("ready", "Check that the models are loaded", Ready, 503, open_to_all=True),
        "/v2": _get("server", "Describe the service", ServerMetadata),
    }
    for end, parameters in (("", ["model"]), ("/versions/{version}", ["model", "version"])):
        base = f"/v2/models/{{model}}{end}"
        suffix = "_of_version" if end else ""
        named = {"parameters": [_in_path(name) for name in parameters]}
        paths[base] = named | _get(f"model{suffix}", "Describe the inputs and outputs of a model", ModelMetadata, 404)
        paths[f"{base}/ready"] = named | _get(
            f"model_ready{suffix}", "Check that a model is loaded", ModelReady, 404, 503
        )
        paths[f"{base}/infer"] = named | {"post": _infer(f"infer{suffix}")}
    return paths


def _infer(name: str) -> dict[str, Any]:
    responses = _responses(InferResponse, 400, 403, 404, 408, 413, 415, 429, 503)
    responses["200"]["content"]["application/octet-stream"] = {
        "schema": {"type": "string", "format": "binary"},
    }
    return {
        "operationId": name,
        "summary": "Classify images: uint8, of the shape and polarity of the model's input",
        "description": (
            "`GET /v2/models/{model}` has the shape of the model's input; flat images are accepted, too. "
            "The number of pixels in `data` must match `shape`. For binary tensors, append the data to the JSON and "
            "set the header `Inference-Header-Content-Length` to the length of the JSON in bytes."
        ),
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(model="InferRequest")}}},
        },
        "responses": responses,
    }


def _shapes(inputs: Sequence[ImageInput]) -> dict[str, Any]:
    """Schema of the shape of a request: N, and then a shape of an image that one of the models accepts."""
    shapes = [shape for image in inputs for shape in accepted_shapes(image)]
    unique = list({tuple(shape): shape for shape in shapes}.values())
    count = {"type": "integer", "minimum": 0}
    return {
        "title": "Shape",
        "anyOf": [
            {
                "type": "array",
                "prefixItems": [count, *({"const": size} if size >= 0 else _WIDTH for size in shape)],
                "minItems": 1 + len(shape),
                "maxItems": 1 + len(shape),
            }
            for shape in unique
        ],
    }


def _metrics() -> dict[str, Any]:
    text = {"description": "Prometheus text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {
        "operationId": "metrics",
        "summary": "Show the metrics of the service",
        "responses": {"200": text, **_errors(401)},
    }


def _get(name: str, summary: str, record: type[BaseModel], *errors: int, open_to_all: bool = False) -> dict[str, Any]:
    operation = {"operationId": name, "summary": summary, "responses": _responses(record, *errors)}
    return {"get": operation | ({"security": []} if open_to_all else {})}


def _responses(record: type[BaseModel], *errors: int) -> dict[str, Any]:
    schema = {"$ref": _REFERENCE.format(model=record.__name__)}
    success = {"description": "Success.", "content": {"application/json": {"schema": schema}}}
    return {"200": success, **_errors(401, *errors)}


def _errors(*statuses: int) -> dict[str, Any]:
    schema = {"$ref": _REFERENCE.format(model=Failure.__name__)}
    content = {"application/json": {"schema": schema}}
    return {str(status): {"description": _ERRORS[status], "content": content} for status in statuses}


def _query(name: str, schema: dict[str, Any], description: str, example: str | None = None) -> dict[str, Any]:
    parameter = {"name": name, "in": "query", "required": False, "schema": schema, "description": description}
    return parameter if example is None else parameter | {"example": example}


def _in_path(name: str) -> dict[str, Any]:
    example = {"model": "edge-int8", "version": "1"}[name]
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "example": example}
