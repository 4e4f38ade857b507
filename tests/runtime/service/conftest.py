"""Fixtures that run the service, in this process and as a separate process, and a browser."""

import functools
import http.server
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the service needs the extra serve")
from starlette.testclient import TestClient

from digits_edge.runtime.model.bundled import bundled_models
from digits_edge.runtime.service.app import create_app
from digits_edge.runtime.service.limits import Limits
from digits_edge.runtime.service.metrics import Metrics
from digits_edge.runtime.service.served_models import ServedModels

ServiceFactory = Callable[..., TestClient]


def wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Poll a condition of another thread or process; fail after the timeout."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"condition not met within {timeout_s} s"
        time.sleep(0.002)


@contextmanager
def service_factory() -> Iterator[ServiceFactory]:
    """Create services in this process, by default with one model and the default limits."""
    with ExitStack() as stack:

        def create(
            *models: str,
            key: str | None = None,
            hosts: Sequence[str] = ("*",),
            addresses: bool = False,
            **limits: float,
        ) -> TestClient:
            metrics = Metrics()
            served = ServedModels(models or ("edge-int8",), provider="cpu", threads=1, metrics=metrics)
            app = create_app(served, metrics, limits=Limits(**limits), key=key, hosts=hosts, addresses=addresses)
            return stack.enter_context(TestClient(app, raise_server_exceptions=False))

        yield create


@pytest.fixture(scope="session")
def client() -> Iterator[TestClient]:
    """A client of a service with edge-int8 and the default limits, shared by all tests."""
    with service_factory() as create:
        yield create()


@pytest.fixture
def create_service() -> Iterator[ServiceFactory]:
    """A factory for services with other settings, or with metrics that start at 0."""
    with service_factory() as create:
        yield create


class RunningService:
    """`digits-edge serve` as a process, on a free port of this machine."""

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
        """Stop the process with SIGTERM and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture(scope="session")
def other_models(photograph_model: Path, letter_model: Path, position_model: Path, sequence_model: Path) -> list[Path]:
    """Model files of other inputs than 28×28 digits; the last reads numbers."""
    return [photograph_model, letter_model, position_model, sequence_model]


@pytest.fixture(scope="session")
def running(other_models: list[Path]) -> Iterator[RunningService]:
    """A process that serves all bundled models and others, shared by the tests of a worker."""
    bundled = sorted(bundled_models(), key=lambda model: not model.default)
    names = [*(model.name for model in bundled), *map(str, other_models)]
    service = RunningService(*(f"--model={name}" for name in names))
    yield service
    service.end()


@contextmanager
def file_server(folder: Path) -> Iterator[str]:
    """Serve the files of a folder; yields the URL."""

    class SilentHandler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(SilentHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, other_models: list[Path]) -> Path:
    """The folder of a static site with the models edge-int8, fashion-int8 and number-int8, and others."""
    from digits_edge.export.targets.web import export_web
    from digits_edge.runtime.errors import UsageError
    from digits_edge.runtime.session.precision import ANOTHER_MACHINE, find_model

    folder = tmp_path_factory.mktemp("web") / "site"
    try:
        bundled = [find_model(name, ANOTHER_MACHINE) for name in ("edge", "fashion", "number")]
        export_web([*bundled, *other_models], folder)
    except UsageError as error:
        pytest.skip(f"ONNX Runtime Web is not available: {error}")
    return folder


@pytest.fixture(scope="session")
def site_url(site: Path) -> Iterator[str]:
    """The URL of the static site."""
    with file_server(site) as url:
        yield url
