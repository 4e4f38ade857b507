"""uvicorn's HTTP protocol with limits on request heads, trailers and slow clients.

`BoundedProtocol` uses undocumented attributes of uvicorn, so `pyproject.toml` has an upper bound for its version.
"""

import asyncio
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from digits_edge.runtime.service.limits import Limits
from digits_edge.runtime.service.responses import RETRY, ErrorResponse

_TOO_MANY = ErrorResponse(
    503, "the service has too many connections; try again in a second", {**RETRY, "connection": "close"}
)


class BoundedProtocol(HttpToolsProtocol):
    """HTTP connection that is closed if the client exceeds the limits.

    uvicorn has no time limit for receiving a request head or for sending a response, and no size limit for heads and
    trailers. This class closes a connection if

    - a request head does not arrive within `Limits.body_s`;
    - the client does not read the response for `Limits.answer_s`;
    - the bytes of a request outside its body exceed `Limits.head_bytes` plus the size of the body. The second term
      allows for chunked encoding, in which every chunk has a line with its length.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: Limits,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        # state of the request that is being parsed
        self._is_open = self._has_head = False
        self._excess_bytes = 0  # bytes outside the body, minus bytes of the body
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start the time limit of the first request head."""
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the time limits."""
        self._cancel_head_timer()
        self._cancel_write_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse data; count it if all of it belongs to one request."""
        was_open = self._is_open
        super().data_received(data)
        if was_open and self._is_open:
            self._count(len(data))
        if self._is_idle():
            self._start_head_timer()

    def on_message_begin(self) -> None:
        """Reset the state for a new request."""
        self._is_open, self._has_head, self._excess_bytes = True, False, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header; count and drop a trailer, which the application does not use."""
        if self._has_head:
            self._count(len(name) + len(value))
            return
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the time limit of the request head; respond with status 503 if there are too many connections."""
        self._has_head = True
        self._cancel_head_timer()
        application = self.app
        if len(self.connections) >= max(self._limits.connections, 2 * self._limits.requests):
            self.app = cast(Any, _TOO_MANY)
        super().on_headers_complete()  # takes `self.app` for this request
        self.app = application

    def on_body(self, body: bytes) -> None:
        """Store a part of the body and adjust the count: `data_received` adds the part once."""
        self._excess_bytes -= 2 * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Mark the request as complete."""
        self._is_open = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Limit the time for the rest of a body that the application did not read."""
        super().on_response_complete()
        if self._is_open and self._is_idle():
            self._start_head_timer()

    def pause_writing(self) -> None:
        """Start the time limit for a client that does not read."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self._limits.answer_s, self.transport.abort)

    def resume_writing(self) -> None:
        """End the time limit for a client that does not read."""
        self._cancel_write_timer()
        super().resume_writing()

    def _is_idle(self) -> bool:
        """Return whether no response is pending."""
        return self.cycle is None or self.cycle.response_complete

    def _count(self, length: int) -> None:
        self._excess_bytes += length
        if self._excess_bytes > self._limits.head_bytes:
            self.transport.abort()

    def _start_head_timer(self) -> None:
        if self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self._limits.body_s, self.transport.abort)

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _cancel_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
