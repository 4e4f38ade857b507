"""Running the service until it is told to end: `listen` and `server`."""

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
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            raise
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no name of a machine"
        raise UsageError(f"{host}:{port} cannot be listened on ({reason}); name another --host or --port") from error
    listening.setblocking(False)
    return listening


def server(app: ASGIApp, limits: Limits) -> uvicorn.Server:
    """A server for the socket of `listen`.

    Its `run(sockets=[...])` serves until SIGINT or SIGTERM, finishes what is in flight and raises the signal again.

    Args:
        app: what answers.
        limits: of heads, connections and the time that finishing may take.
    """
    config = uvicorn.Config(
        app,
        http=_bounded(limits),
        ws="none",
        lifespan="on",
        log_level="error",  # a line for every request that is none would fill the disk
        access_log=False,
        server_header=False,
        limit_concurrency=max(limits.connections, 2 * limits.requests),
        timeout_graceful_shutdown=limits.shutdown_s,
    )
    return uvicorn.Server(config)


def _bounded(limits: Limits) -> type[HttpToolsProtocol]:
    """The protocol of uvicorn, which by itself waits for a head or a reader for ever, and takes heads of any length."""

    class BoundedProtocol(HttpToolsProtocol):
        """Cuts a connection that sends nothing but heads and trailers, whose head does not come, or that does not read.

        What is not body may be as long as a head, and as the body beside it: chunks have their lengths.
        """

        _is_open = _has_head = False  # the message that is being parsed
        _beside_body = 0
        _waiting: asyncio.TimerHandle | None = None
        _unread: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait_for_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            self._reads_again()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            was_open = self._is_open
            super().data_received(data)
            if was_open and self._is_open:  # else a part of it belongs to another message
                self._count(len(data))
            if self._is_idle():
                self._wait_for_head()

        def on_message_begin(self) -> None:
            self._is_open, self._has_head, self._beside_body = True, False, 0
            super().on_message_begin()

        def on_header(self, name: bytes, value: bytes) -> None:
            if self._has_head:  # a trailer, for which nobody here has a use
                self._count(len(name) + len(value))
                return
            super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self._has_head = True
            self._stop_waiting()
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            self._beside_body -= 2 * len(body)
            super().on_body(body)

        def on_message_complete(self) -> None:
            self._is_open = False
            super().on_message_complete()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self._is_open and self._is_idle():  # a body that came too late is read to its end, for a while
                self._wait_for_head()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._unread = self.loop.call_later(limits.answer_s, self.transport.abort)

        def resume_writing(self) -> None:
            self._reads_again()
            super().resume_writing()

        def _reads_again(self) -> None:
            if self._unread is not None:
                self._unread.cancel()
                self._unread = None

        def _is_idle(self) -> bool:
            """Whether no request waits for its answer."""
            return self.cycle is None or self.cycle.response_complete

        def _count(self, length: int) -> None:
            self._beside_body += length
            if self._beside_body > limits.head_bytes:
                self.transport.abort()

        def _wait_for_head(self) -> None:
            if self._waiting is None and not self.transport.is_closing():
                self._waiting = self.loop.call_later(limits.body_s, self.transport.abort)

        def _stop_waiting(self) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None

    return BoundedProtocol
