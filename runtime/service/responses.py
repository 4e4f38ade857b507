"""Answers of the service: JSON of records, and errors in the protocol's form."""

from collections.abc import Mapping

from pydantic import BaseModel
from starlette.responses import Response

from digits_edge.runtime.errors import DigitsEdgeError, InputError, ModelError, UsageError


class RecordResponse(Response):
    """A record as JSON; the fields that it lacks are null, or left out."""

    media_type = "application/json"

    def __init__(self, record: BaseModel, *, leave_out_null: bool = False) -> None:
        super().__init__(record.model_dump_json(exclude_none=leave_out_null))


class ErrorResponse(Response):
    """An error, as the Open Inference Protocol has it: `{"error": reason}`."""

    media_type = "application/json"

    def __init__(self, status_code: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(Failure(error=reason).model_dump_json(), status_code, headers)


class Failure(BaseModel):
    """Why there is no answer."""

    error: str


class UnknownModelError(ModelError):
    """The service has no such model."""


def status_of(error: DigitsEdgeError) -> int:
    """The HTTP status that says whose fault an error is."""
    if isinstance(error, UnknownModelError):
        return 404
    return 400 if isinstance(error, InputError | UsageError) else 500
