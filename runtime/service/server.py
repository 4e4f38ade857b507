"""Sockets and the uvicorn server that runs the service: `listen` and `server`."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.service.bounded_protocol import BoundedProtocol
from digits_edge.runtime.service.limits import Limits

_BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """Open a listening TCP socket.

    Args:
        host: address or host name.
        port: port number; 0 selects a free port.

    Returns:
        The socket, in non-blocking mode.

    Raises:
        UsageError: the address is invalid or in use.

    Example:
        >>> with listen("127.0.0.1", 0) as listening:
        ...     listening.getsockname()[1] > 0
        True
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
        reason = error.strerror if isinstance(error, OSError) else "invalid host name"
        raise UsageError(f"cannot listen on {host}:{port}: {reason}; choose another --host or --port") from error
    listening.setblocking(False)
    return listening


def server(app: ASGIApp, limits: Limits) -> uvicorn.Server:
    """Create the server for a socket of `listen`.

    `run(sockets=[...])` serves until SIGINT or SIGTERM, finishes the requests in flight and raises the signal again.

    Args:
        app: application to serve.
        limits: limits on heads, connections and the time for shutting down.

    Example:
        >>> server(app, Limits()).run(sockets=[listen("127.0.0.1", 8000)])  # doctest: +SKIP
    """
    return uvicorn.Server(server_config(app, limits))


def server_config(app: ASGIApp | Callable[[], ASGIApp], limits: Limits, **options: Any) -> uvicorn.Config:
    """The configuration of uvicorn; with `factory=True`, `app` creates the application."""
    return uvicorn.Config(
        cast("ASGIApp", app),
        # uvicorn calls it like the class; its annotation allows only a class
        http=cast("type[asyncio.Protocol]", partial(BoundedProtocol, limits=limits)),
        ws="none",
        lifespan="on",
        log_level="error",  # a warning for each invalid request could fill the disk
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the address of the client is not used
        timeout_graceful_shutdown=limits.shutdown_s,
        **options,
    )
