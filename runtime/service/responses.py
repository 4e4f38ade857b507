"""Responses of the service: records as JSON, and errors in the form of the Open Inference Protocol."""

from collections.abc import Mapping

from pydantic import BaseModel
from starlette.responses import Response

from digits_edge.runtime.errors import DigitsEdgeError, InputError, ModelError, UsageError

#: Key of the status of a response in the scope of its request, from the start of the response.
STATUS = "digits_edge.status"
#: Headers of a response that the client should repeat after a second: 429, and 503.
RETRY = {"retry-after": "1"}


class RecordResponse(Response):
    """A record as JSON.

    Args:
        record: the record.
        exclude_none: omit fields that are None; otherwise they are null.

    Example:
        >>> RecordResponse(Failure(error="no image")).body
        b'{"error":"no image"}'
    """

    media_type = "application/json"

    def __init__(self, record: BaseModel, *, exclude_none: bool = False) -> None:
        super().__init__(record.model_dump_json(exclude_none=exclude_none))


class ErrorResponse(Response):
    """An error as JSON, `{"error": reason}`.

    Example:
        >>> response = ErrorResponse(404, "no model")
        >>> response.status_code, response.body
        (404, b'{"error":"no model"}')
    """

    media_type = "application/json"

    def __init__(self, status_code: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(Failure(error=reason).model_dump_json(), status_code, headers)


class Failure(BaseModel):
    """An error message."""

    error: str


class UnknownModelError(ModelError):
    """The service has no model of this name or version."""


def status_of(error: DigitsEdgeError) -> int:
    """Return the HTTP status for an error.

    Returns:
        404 for an unknown model, 400 for an invalid request, 500 for any other error.

    Example:
        >>> [status_of(error) for error in (UnknownModelError(), UsageError(), ModelError())]
        [404, 400, 500]
    """
    if isinstance(error, UnknownModelError):
        return 404
    return 400 if isinstance(error, InputError | UsageError) else 500
