"""Connections that exceed the limits of `BoundedProtocol` are closed, and others are not."""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from digits_edge.runtime.service.limits import Limits
from digits_edge.runtime.service.server import listen, server

from .conftest import wait_until

LIMITS = Limits(head_bytes=4000, body_s=0.3, answer_s=0.6, body_bytes=300_000)
#: Limits for tests of sizes, in which no time limit expires.
SLOW_LIMITS = replace(LIMITS, body_s=60, answer_s=60)
LARGE = b"x" * 5_000_000


async def body_length(request: Request) -> Response:
    return Response(str(len(await request.body())))


async def early(request: Request) -> Response:
    return Response("early")


async def large(request: Request) -> Response:
    return Response(LARGE)


@contextlib.contextmanager
def running_server(limits: Limits) -> Iterator[tuple[uvicorn.Server, int]]:
    """Run a server in a thread; yields it and its port."""
    app = Starlette(
        routes=[Route("/", body_length, methods=["GET", "POST"]), Route("/early", early), Route("/large", large)]
    )
    listening = listen("127.0.0.1", 0)
    running = server(app, limits)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    yield running, listening.getsockname()[1]
    running.should_exit = True
    thread.join(20)


@pytest.fixture(scope="session")
def bounded_server() -> Iterator[tuple[uvicorn.Server, int]]:
    with running_server(LIMITS) as server_and_port:
        yield server_and_port


@pytest.fixture
def connection(bounded_server: tuple[uvicorn.Server, int]) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", bounded_server[1]), timeout=5) as connection:
        yield connection


@pytest.fixture(scope="session")
def slow_port() -> Iterator[int]:
    with running_server(SLOW_LIMITS) as (_, port):
        yield port


def receive_response(connection: socket.socket) -> bytes:
    """Receive a response whose head and body may arrive in several parts."""
    received = b""
    while not _is_complete(received):
        part = connection.recv(65536)
        assert part, received
        received += part
    return received


def _is_complete(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


def is_closed(connection: socket.socket, within_s: float = 5.0) -> bool:
    connection.settimeout(within_s)
    try:
        while connection.recv(1_000_000):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def post(length: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_incomplete_head_closes_the_connection(connection: socket.socket, sent: bytes) -> None:
    connection.sendall(sent)
    assert is_closed(connection)


@pytest.mark.parametrize("sent", [b"\r\n", b"G"])
def test_silence_after_a_response_closes_the_connection(connection: socket.socket, sent: bytes) -> None:
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert receive_response(connection).startswith(b"HTTP/1.1 200")
    connection.sendall(sent)
    assert is_closed(connection)


def test_unread_body_that_does_not_arrive_closes_the_connection(connection: socket.socket) -> None:
    connection.sendall(b"GET /early HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
    assert b"early" in receive_response(connection)
    assert is_closed(connection)


@pytest.mark.parametrize("line", [b"X-More: " + b"x" * 500 + b"\r\n", b"x" * 500], ids=["lines", "one line"])
@pytest.mark.parametrize(
    "start",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: ",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX: ",
    ],
    ids=["head", "trailers"],
)
def test_long_heads_and_trailers_close_the_connection(slow_port: int, start: bytes, line: bytes) -> None:
    with socket.create_connection(("127.0.0.1", slow_port)) as connection:
        connection.sendall(start)
        with contextlib.suppress(ConnectionError):
            for _ in range(20 * LIMITS.head_bytes // len(line)):
                connection.sendall(line)
        assert is_closed(connection)


def test_client_that_does_not_read_is_disconnected(bounded_server: tuple[uvicorn.Server, int]) -> None:
    running, port = bounded_server
    wait_until(lambda: not running.server_state.connections)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(5)
        connection.connect(("127.0.0.1", port))
        wait_until(lambda: len(running.server_state.connections) == 1)
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: not running.server_state.connections)
        received = 0
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(1_000_000):
                received += len(part)
        assert received < len(LARGE)


def test_slow_reader_receives_the_complete_response(bounded_server: tuple[uvicorn.Server, int]) -> None:
    running, port = bounded_server
    wait_until(lambda: not running.server_state.connections)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        wait_until(lambda: len(running.server_state.connections) == 1)
        (protocol,) = running.server_state.connections
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        wait_until(lambda: protocol.flow.write_paused)  # the client starts to read when the server waits for it
        received = 0
        while part := connection.recv(200_000):
            received += len(part)
        assert received > len(LARGE)


def test_data_after_a_request_does_not_close_the_connection(connection: socket.socket) -> None:
    connection.sendall(post(200_000) + b"x" * 200_000 + b"GET / HTTP/1.1\r\nHost")
    assert receive_response(connection).endswith(b"200000")
    connection.sendall(b": x\r\n\r\n")
    assert receive_response(connection).endswith(b"0")


def test_body_may_have_many_small_chunks(connection: socket.socket) -> None:
    connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(100):
        connection.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
    connection.sendall(b"0\r\n\r\n")
    assert receive_response(connection).endswith(b"102400")


def test_time_limits_apply_to_each_request_of_a_connection(connection: socket.socket) -> None:
    end = time.monotonic() + 2 * LIMITS.body_s
    while time.monotonic() < end:
        for length in (0, 1, 100_000, 5):
            connection.sendall(post(length) + b"x" * length)
            assert receive_response(connection).endswith(b"\r\n\r\n%d" % length)
