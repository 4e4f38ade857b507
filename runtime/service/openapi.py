"""The description of the service in OpenAPI 3.1: `openapi`. Its schemas are those of the records that are answered."""

from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from digits_edge.runtime.service.inference_protocol import (
    InferRequest,
    InferResponse,
    Live,
    ModelMetadata,
    ModelReady,
    Ready,
    ServerMetadata,
)
from digits_edge.runtime.service.picture_endpoint import ModelListings, Reading
from digits_edge.runtime.service.responses import Failure

_RECORDS: tuple[type[BaseModel], ...] = (
    Failure,
    InferResponse,
    Live,
    ModelListings,
    ModelMetadata,
    ModelReady,
    Reading,
    Ready,
    ServerMetadata,
)
_ERRORS = {
    400: "The request is wrong; the answer says what mends it.",
    401: "The service has a key, and the request does not.",
    403: "A page of another site asks.",
    404: "There is no such model.",
    408: "The body did not arrive in time.",
    413: "The body is too long.",
    415: "The body is of another kind.",
    429: "The service is busy; try again after as many seconds as `Retry-After` says.",
    503: "The answer takes too long.",
}
_REFERENCE = "#/components/schemas/{model}"


def openapi(*, with_key: bool) -> dict[str, Any]:
    """The whole description.

    Args:
        with_key: whether the service asks for a key.
    """
    _, validated = models_json_schema([(InferRequest, "validation")], ref_template=_REFERENCE)
    _, answered = models_json_schema([(record, "serialization") for record in _RECORDS], ref_template=_REFERENCE)
    components: dict[str, Any] = {"schemas": answered["$defs"] | validated["$defs"]}
    if with_key:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "digits-edge",
            "version": version("digits-edge"),
            "description": "Reads handwritten digits: pictures, or images by the Open Inference Protocol, version 2.",
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
                "summary": "Read the digit in a picture",
                "parameters": [
                    _query("model", {"type": "string"}, "A model's name; else the default.", "edge-int8"),
                    _query(
                        "show",
                        {"enum": ["image", "map", "image,map"]},
                        "What to answer beside: the image that the model gets, where it looks.",
                    ),
                ],
                "requestBody": {
                    "required": True,
                    "description": "PNG, JPEG, BMP, GIF, WebP, TIFF or PNM.",
                    "content": {"image/png": picture, "image/jpeg": picture, "application/octet-stream": picture},
                },
                "responses": _responses(Reading, 400, 403, 404, 408, 413, 415, 429, 503),
            }
        },
        "/models": {
            "get": {
                "operationId": "models",
                "summary": "The models, with what was measured of them",
                "responses": _responses(ModelListings),
            }
        },
    }


def _protocol() -> dict[str, Any]:
    paths: dict[str, Any] = {
        "/v2/health/live": _get("live", "Whether the service lives", Live, open_to_all=True),
        "/v2/health/ready": _get("ready", "Whether its models are open", Ready, open_to_all=True),
        "/v2": _get("server", "What the service is", ServerMetadata),
    }
    for end, parameters in (("", ["model"]), ("/versions/{version}", ["model", "version"])):
        base = f"/v2/models/{{model}}{end}"
        suffix = "_of_version" if end else ""
        named = {"parameters": [_in_path(name) for name in parameters]}
        paths[base] = named | _get(f"model{suffix}", "What a model takes and gives", ModelMetadata, 404)
        paths[f"{base}/ready"] = named | _get(f"model_ready{suffix}", "Whether a model is open", ModelReady, 404)
        paths[f"{base}/infer"] = named | {"post": _infer(f"infer{suffix}")}
    return paths


def _infer(name: str) -> dict[str, Any]:
    responses = _responses(InferResponse, 400, 403, 404, 408, 413, 415, 429, 503)
    responses["200"]["content"]["application/octet-stream"] = {
        "schema": {"type": "string", "format": "binary"},
    }
    return {
        "operationId": name,
        "summary": "Read images: uint8, white ink on black",
        "description": (
            "`data` holds as many pixels as `shape` says. With the header `Inference-Header-Content-Length` tensors "
            "may be binary: behind the JSON, of which it gives the length."
        ),
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(model="InferRequest")}}},
        },
        "responses": responses,
    }


def _metrics() -> dict[str, Any]:
    text = {"description": "Prometheus's text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {"operationId": "metrics", "summary": "What the service counts", "responses": {"200": text, **_errors(401)}}


def _get(name: str, summary: str, record: type[BaseModel], *errors: int, open_to_all: bool = False) -> dict[str, Any]:
    operation = {"operationId": name, "summary": summary, "responses": _responses(record, *errors)}
    return {"get": operation | ({"security": []} if open_to_all else {})}


def _responses(record: type[BaseModel], *errors: int) -> dict[str, Any]:
    schema = {"$ref": _REFERENCE.format(model=record.__name__)}
    found = {"description": "The answer.", "content": {"application/json": {"schema": schema}}}
    return {"200": found, **_errors(401, *errors)}


def _errors(*statuses: int) -> dict[str, Any]:
    schema = {"$ref": _REFERENCE.format(model=Failure.__name__)}
    answers = {}
    for status in statuses:
        answers[str(status)] = {
            "description": _ERRORS[status],
            "content": {"application/json": {"schema": schema}},
        }
    return answers


def _query(name: str, schema: dict[str, Any], description: str, example: str | None = None) -> dict[str, Any]:
    found = {"name": name, "in": "query", "required": False, "schema": schema, "description": description}
    return found if example is None else found | {"example": example}


def _in_path(name: str) -> dict[str, Any]:
    example = {"model": "edge-int8", "version": "1"}[name]
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "example": example}
