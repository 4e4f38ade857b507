"""Who gets in: `Admission` bounds the work in flight and its time, `ApiKey` asks for the key."""

import asyncio
import hmac
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from digits_edge.runtime.service.answers import ErrorAnswer
from digits_edge.runtime.service.limits import Limits

#: What shows nothing that a key protects: whether the service lives, the pages and their files, the API's description.
_OPEN = ("/", "/docs", "/openapi.json", "/v2/health/live", "/v2/health/ready")
_OPEN_FOLDERS = ("/page/", "/docs/")


class Admission:
    """Answers 429 to work beyond `Limits.requests` and `Limits.bytes`, and ends what takes too long.

    Only what has a body is work: who asks for the health, the metrics or the page is always let in.
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
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        # a body of unknown length is counted as the longest
        length = Headers(scope=scope).get("content-length", "")
        expected = min(int(length) if length.isdecimal() else self._limits.body_bytes, self._limits.body_bytes)
        if self.requests >= self._limits.requests or self._bytes + expected > self._limits.bytes:
            self._shed()
            busy = ErrorAnswer(429, "the service is busy; try again in a second", {"retry-after": "1"})
            await busy(scope, receive, send)
            return
        self.requests += 1
        self._bytes += expected
        try:
            await self._in_time(scope, receive, send)
        finally:
            self.requests -= 1
            self._bytes -= expected

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
                ErrorAnswer(503, "the answer takes too long; ask for less at once", {"retry-after": "1"})
                if arrived
                else ErrorAnswer(408, f"the body did not arrive within {self._limits.body_s:g} s")
            )
            await late(scope, receive, send)


class ApiKey:
    """Answers 401 to who does not send the key, as `Authorization: Bearer KEY`; some paths are open to all."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        """Wrap an application; `key` is what has to be sent."""
        self._app, self._expected = app, f"Bearer {key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application do so."""
        if scope["type"] != "http" or scope["path"] in _OPEN or scope["path"].startswith(_OPEN_FOLDERS):
            await self._app(scope, receive, send)
            return
        sent = Headers(scope=scope).get("authorization", "").encode("latin-1")
        if hmac.compare_digest(sent, self._expected):  # takes the same time wherever they differ
            await self._app(scope, receive, send)
            return
        refused = ErrorAnswer(
            401, "send the service's key as `Authorization: Bearer KEY`", {"www-authenticate": "Bearer"}
        )
        await refused(scope, receive, send)
