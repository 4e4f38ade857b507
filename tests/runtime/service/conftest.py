"""The service, in this process for its answers and as a process of its own for browsers and clients."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

pytest.importorskip("starlette", reason="the service needs the extra serve")
from starlette.testclient import TestClient

from digits_edge.runtime.service.app import create_app
from digits_edge.runtime.service.limits import Limits
from digits_edge.runtime.service.metrics import Metrics
from digits_edge.runtime.service.served_models import ServedModels

Served = Callable[..., TestClient]


@pytest.fixture
def served() -> Iterator[Served]:
    """Start a service of this process: by default of one model, with the limits named."""
    with ExitStack() as stack:

        def start(*models: str, key: str | None = None, hosts: tuple[str, ...] = ("*",), **limits: float) -> TestClient:
            metrics = Metrics()
            found = ServedModels(models or ("edge-int8",), provider="cpu", threads=1, metrics=metrics)
            app = create_app(found, metrics, limits=Limits(**limits), key=key, hosts=hosts)
            return stack.enter_context(TestClient(app, raise_server_exceptions=False))

        yield start


class RunningService:
    """`digits-edge serve` as a process of its own, on a free port of this machine."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "digits_edge.cli", "serve", "--provider", "cpu", "--port", "0", "--json", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        self.url = json.loads(line)["url"]
        self.address = self.url.removeprefix("http://").rstrip("/")

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture(scope="session")
def running() -> Iterator[RunningService]:
    """One service with all bundled models, for all tests of a worker."""
    service = RunningService()
    yield service
    service.end()
