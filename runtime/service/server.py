"""Running the service until it is told to end: `listen` and `run`."""

import asyncio
import socket
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.service.limits import Limits

_BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        UsageError: the address cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        raise UsageError(
            f"{host}:{port} cannot be listened on ({error.strerror}); name another --host or --port"
        ) from error
    listening.setblocking(False)
    return listening


def run(app: ASGIApp, listening: socket.socket, limits: Limits) -> None:
    """Serve until SIGINT or SIGTERM; then finish what is in flight.

    Args:
        app: what answers.
        listening: as `listen` returns it.
        limits: of heads, connections and the time that finishing may take.

    Raises:
        KeyboardInterrupt: it was told to end, and has ended in order.
    """
    config = uvicorn.Config(
        app,
        http=_bounded(limits),
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=limits.shutdown_s,
    )
    uvicorn.Server(config).run(sockets=[listening])


def _bounded(limits: Limits) -> type[HttpToolsProtocol]:
    """The protocol of uvicorn, which by itself waits for ever for a request's head and takes one of any length."""

    class BoundedProtocol(HttpToolsProtocol):
        """Cuts a connection whose head is too long or does not come."""

        _head_bytes = 0
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._expect_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._head_came()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._deadline is not None:
                self._head_bytes += len(data)
                if self._head_bytes > limits.head_bytes:
                    self.transport.abort()

        def on_message_begin(self) -> None:
            self._expect_head()
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._head_came()
            super().on_headers_complete()

        def _expect_head(self) -> None:
            self._head_came()
            self._head_bytes = 0
            self._deadline = self.loop.call_later(limits.body_s, self._give_up)

        def _head_came(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _give_up(self) -> None:
            self.transport.abort()

    return BoundedProtocol
