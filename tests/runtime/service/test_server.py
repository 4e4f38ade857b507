"""Connections that ask for nothing, or never end: what the protocol cuts, and what it must not cut."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from digits_edge.runtime.service.limits import Limits
from digits_edge.runtime.service.server import listen, server

LIMITS = Limits(head_bytes=4000, body_s=0.4, answer_s=0.6, body_bytes=300_000)
LARGE = b"x" * 5_000_000


async def echo(request: Request) -> Response:
    return Response(str(len(await request.body())))


async def early(request: Request) -> Response:
    return Response("early")


async def large(request: Request) -> Response:
    return Response(LARGE)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    app = Starlette(routes=[Route("/", echo, methods=["GET", "POST"]), Route("/early", early), Route("/large", large)])
    listening = listen("127.0.0.1", 0)
    running = server(app, LIMITS)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()[1]
    running.should_exit = True
    thread.join(20)


@pytest.fixture
def connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(5)
        yield connection


def answer(connection: socket.socket) -> bytes:
    """An answer with a short body."""
    found = b""
    while b"\r\n\r\n" not in found:
        part = connection.recv(65536)
        assert part, found
        found += part
    return found


def is_cut(connection: socket.socket, within_s: float = 3.0) -> bool:
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
def test_a_head_that_does_not_come_is_cut(connection: socket.socket, sent: bytes) -> None:
    connection.sendall(sent)
    assert is_cut(connection)


@pytest.mark.parametrize("sent", [b"\r\n", b"G"])
def test_silence_after_an_answer_is_cut(connection: socket.socket, sent: bytes) -> None:
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer(connection).startswith(b"HTTP/1.1 200")
    connection.sendall(sent)
    assert is_cut(connection)


def test_a_body_that_nobody_reads_and_that_does_not_come_is_cut(connection: socket.socket) -> None:
    connection.sendall(b"GET /early HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
    assert b"early" in answer(connection)
    assert is_cut(connection)


@pytest.mark.parametrize("line", [b"X-More: " + b"x" * 500 + b"\r\n", b"x" * 500], ids=["lines", "one line"])
@pytest.mark.parametrize(
    "start",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: ",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX: ",
    ],
    ids=["head", "trailers"],
)
def test_heads_and_trailers_are_bounded(connection: socket.socket, start: bytes, line: bytes) -> None:
    connection.sendall(start)
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < 20 * LIMITS.head_bytes:
            connection.sendall(line)
            sent += len(line)
            time.sleep(0.002)
    assert sent < 20 * LIMITS.head_bytes


def test_a_reader_that_does_not_read_is_cut(port: int) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(3 * LIMITS.answer_s)
        found = 0
        connection.settimeout(3)
        try:
            while part := connection.recv(1_000_000):
                found += len(part)
        except ConnectionError:
            pass
        assert found < len(LARGE)


def test_a_slow_reader_gets_everything(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        found = 0
        while part := connection.recv(200_000):
            found += len(part)
            time.sleep(0.01)
        assert found > len(LARGE)


def test_an_answer_is_not_cut_for_what_follows_its_request(connection: socket.socket) -> None:
    connection.sendall(post(200_000) + b"x" * 200_000 + b"GET / HTTP/1.1\r\nHost")
    assert answer(connection).endswith(b"200000")
    connection.sendall(b": x\r\n\r\n")
    assert answer(connection).endswith(b"0")


def test_many_small_chunks_are_a_body(connection: socket.socket) -> None:
    connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(100):
        connection.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
    connection.sendall(b"0\r\n\r\n")
    assert answer(connection).endswith(b"102400")


def test_requests_one_after_the_other_are_answered(connection: socket.socket) -> None:
    for length in (0, 1, 100_000, 5):
        connection.sendall(post(length) + b"x" * length)
        assert answer(connection).endswith(b"\r\n\r\n%d" % length)
        time.sleep(0.1)
