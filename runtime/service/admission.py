"""Who gets in: `Admission` bounds the work in flight and its time, `ApiKey` asks for the key."""

import asyncio
import hmac
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from digits_edge.runtime.service.limits import Limits
from digits_edge.runtime.service.responses import ErrorResponse

_BUSY = "the service is busy; try again in a second"
_SOON = {"retry-after": "1"}
#: What shows nothing that a key protects: whether the service lives, the pages and their files, the API's description.
_OPEN = ("/", "/docs", "/openapi.json", "/v2/health/live", "/v2/health/ready")
_OPEN_FOLDERS = ("/page/", "/docs/")


class Admission:
    """Answers 429 to work beyond `Limits.requests` and `Limits.bytes`, and ends what takes too long.

    Only what may have a body is work: who asks for the health, the metrics or the page is always let in. Pages of other
    sites are not: a browser sends what they ask for without asking anybody.
    """

    def __init__(self, app: ASGIApp, limits: Limits, *, shed: Callable[[], None] = lambda: None) -> None:
        """Wrap an application.

        Args:
            app: what is protected.
            limits: what is let in.
            shed: called for every request that is turned away.
        """
        self._app, self._limits, self._shed = app, limits, shed
        self.requests = 0
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application do so."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        if Headers(scope=scope).get("sec-fetch-site") == "cross-site":
            await ErrorResponse(403, "a page of another site may not ask this service")(scope, receive, send)
            return
        if self.requests >= self._limits.requests:
            self._shed()
            await ErrorResponse(429, _BUSY, _SOON)(scope, receive, send)
            return
        self.requests += 1
        taken = 0

        async def received() -> Message:
            nonlocal taken
            message = await receive()
            taken += (length := len(message.get("body", b"")))
            self._bytes += length
            if self._bytes > self._limits.bytes:
                self._shed()
                raise HTTPException(429, _BUSY, dict(_SOON))
            return message

        try:
            await self._in_time(scope, received, send)
        finally:
            self.requests -= 1
            self._bytes -= taken

    async def _in_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, the body and the answer each in their time."""
        loop = asyncio.get_running_loop()
        arrived = answering = False

        async def received() -> Message:
            nonlocal arrived
            message = await receive()
            if not arrived and not message.get("more_body", False):
                arrived = True
                time.reschedule(loop.time() + self._limits.answer_s)
            return message

        async def sent(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        try:
            async with asyncio.timeout(self._limits.body_s) as time:
                await self._app(scope, received, sent)
        except TimeoutError:
            if answering or not time.expired():
                raise
            late = (
                ErrorResponse(503, "the answer takes too long; ask for less at once", _SOON)
                if arrived
                else ErrorResponse(408, f"the body did not arrive within {self._limits.body_s:g} s")
            )
            await late(scope, receive, send)


class ApiKey:
    """Answers 401 to who does not send the key, as `Authorization: Bearer KEY`; some paths are open to all."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        """Wrap an application; `key` is what has to be sent."""
        self._app, self._key = app, key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application do so."""
        if scope["type"] != "http" or scope["path"] in _OPEN or scope["path"].startswith(_OPEN_FOLDERS):
            await self._app(scope, receive, send)
            return
        scheme, _, sent = Headers(scope=scope).get("authorization", "").partition(" ")
        # takes the same time wherever they differ
        if scheme.lower() == "bearer" and hmac.compare_digest(sent.strip().encode("latin-1"), self._key):
            await self._app(scope, receive, send)
            return
        refused = ErrorResponse(
            401, "send the service's key as `Authorization: Bearer KEY`", {"www-authenticate": "Bearer"}
        )
        await refused(scope, receive, send)
