"""Middleware that limits the work in flight (`Admission`) and checks the API key (`ApiKey`)."""

import asyncio
import hmac
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from digits_edge.runtime.service.deadlines import Deadlines
from digits_edge.runtime.service.headers import MAX_LENGTH_DIGITS, header_of
from digits_edge.runtime.service.limits import Limits
from digits_edge.runtime.service.responses import RETRY, STATUS, ErrorResponse

#: Share of the shorter time limit by which requests may end too late.
_LATE_SHARE = 0.02
_BUSY = "the service is busy; try again in a second"
#: Paths that do not require the key: health, the pages and their files, and the API description.
_OPEN = ("/", "/docs", "/openapi.json", "/v2/health/live", "/v2/health/ready")
_OPEN_FOLDERS = ("/page/", "/docs/")


class Admission:
    """Middleware that rejects requests above the limits with status 413 or 429 and ends those that take too long.

    GET and HEAD requests are not limited, so health, metrics and the page are always available. Cross-site requests of
    browsers get status 403, because browsers send them without the consent of the user.
    """

    def __init__(self, app: ASGIApp, limits: Limits, *, shed: Callable[[], None] = lambda: None) -> None:
        """Wrap an application.

        Args:
            app: application to protect.
            limits: limits on requests, bytes and times.
            shed: called for every request that is rejected with status 429.
        """
        self._app, self._limits, self._shed = app, limits, shed
        self._too_large = f"the body is too large; send at most {limits.body_bytes:,} bytes"
        self._deadlines = Deadlines(min(limits.body_s, limits.answer_s) * _LATE_SHARE)
        self.requests = 0
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application if the limits allow it."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        if header_of(scope, b"sec-fetch-site") == "cross-site":
            await ErrorResponse(403, "cross-site requests are not allowed")(scope, receive, send)
            return
        length = header_of(scope, b"content-length").lstrip("0")
        if length.isdecimal() and (len(length) > MAX_LENGTH_DIGITS or int(length) > self._limits.body_bytes):
            await ErrorResponse(413, self._too_large)(scope, receive, send)
            return
        if self.requests >= self._limits.requests:
            self._shed()
            await ErrorResponse(429, _BUSY, RETRY)(scope, receive, send)
            return
        self.requests += 1
        await self._run(scope, receive, send)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application within the limits on bytes, with a time limit for the body and one for the response."""
        task = asyncio.current_task()
        assert task is not None
        received_bytes = 0
        has_body = False

        async def receive_within_limits() -> Message:
            nonlocal received_bytes, has_body
            message = await receive()
            received_bytes += (length := len(message.get("body", b"")))
            self._bytes += length
            if received_bytes > self._limits.body_bytes:
                raise HTTPException(413, self._too_large)
            if self._bytes > self._limits.bytes:
                self._shed()
                raise HTTPException(429, _BUSY, dict(RETRY))
            if not has_body and not message.get("more_body", False):
                has_body = True
                self._deadlines.set(task, self._limits.answer_s)
            return message

        self._deadlines.set(task, self._limits.body_s)
        try:
            await self._app(scope, receive_within_limits, send)
        except asyncio.CancelledError:
            if not self._deadlines.is_over(task):
                raise
            if STATUS in scope:
                raise TimeoutError from None
            response = (
                ErrorResponse(503, f"no result within {self._limits.answer_s:g} s; send fewer images", RETRY)
                if has_body
                else ErrorResponse(408, f"the request body did not arrive within {self._limits.body_s:g} s")
            )
            await response(scope, receive, send)
        finally:
            self._deadlines.remove(task)
            self.requests -= 1
            self._bytes -= received_bytes


class ApiKey:
    """Middleware that requires `Authorization: Bearer KEY` and otherwise responds with status 401.

    The pages, the API description and the health endpoints do not require the key.
    """

    def __init__(self, app: ASGIApp, key: str) -> None:
        """Wrap an application.

        Args:
            app: application to protect.
            key: the required key.
        """
        self._app, self._key = app, key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application if the key is correct."""
        if scope["type"] != "http" or scope["path"] in _OPEN or scope["path"].startswith(_OPEN_FOLDERS):
            await self._app(scope, receive, send)
            return
        scheme, _, key = header_of(scope, b"authorization").partition(" ")
        # constant time, so that the response time does not reveal a prefix of the key
        if scheme.lower() == "bearer" and hmac.compare_digest(key.strip().encode("latin-1"), self._key):
            await self._app(scope, receive, send)
            return
        response = ErrorResponse(
            401,
            "missing or wrong API key; send it as `Authorization: Bearer KEY`",
            {"www-authenticate": "Bearer"},
        )
        await response(scope, receive, send)
