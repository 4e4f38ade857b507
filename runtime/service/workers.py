"""Several processes that serve one port: `serve_with_workers`."""

import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import wait

from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from digits_edge.runtime.errors import DigitsEdgeError, ModelError
from digits_edge.runtime.service.server import server_config
from digits_edge.runtime.service.settings import Settings
from digits_edge.runtime.session.threads import ENVIRONMENT, available_threads

#: Environment variable of prometheus-client, which reads it when it is imported.
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
#: Time for a process to import its libraries and to respond, in seconds; after it, the process is started again. A
#: process that ends while uvicorn waits for its response is noticed only then, and so is SIGTERM.
_RESPONSE_S = 15


def serve_with_workers(settings: Settings, count: int, listening: socket.socket) -> None:
    """Serve with several processes until SIGINT or SIGTERM; each has its own models and limits.

    A process that ends or does not respond is started again. Without a number of threads in the settings, the threads
    are divided among the processes.

    Args:
        settings: settings of each process.
        count: number of processes.
        listening: the socket that they share.

    Raises:
        ModelError: a process cannot open its models.
    """
    threads = settings.threads or max(1, available_threads() // count)
    with (
        tempfile.TemporaryDirectory(prefix="digits-edge-", ignore_cleanup_errors=True) as folder,
        _environment({METRICS_FOLDER: folder, ENVIRONMENT: str(threads)}),
    ):
        config = server_config(
            _Application(settings, folder),
            settings.limits,
            factory=True,
            workers=count,
            timeout_worker_healthcheck=_RESPONSE_S,
        )
        workers = _Workers(config, sockets=[listening])
        workers.run()
    if any(process.exitcode == STARTUP_FAILURE for process in workers.processes):
        raise ModelError("a process of the service could not open its models; see the message before")


@dataclass(frozen=True)
class _Application:
    """Creates the application of a process."""

    settings: Settings
    metrics_folder: str

    def __call__(self) -> ASGIApp:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        from digits_edge.runtime.service.metrics import Metrics

        try:
            metrics = Metrics(self.metrics_folder)
            return self.settings.app(self.settings.open(metrics), metrics)
        except (DigitsEdgeError, OSError, MemoryError) as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(STARTUP_FAILURE) from error  # uvicorn does not start the process again


class _Workers(Multiprocess):
    """The processes, whose gauges end with them."""

    def init_processes(self) -> None:
        """Start the processes without SIGINT: on Ctrl-C, their imports would print tracebacks; the parent ends them."""
        if sys.platform == "win32":
            super().init_processes()
            return
        resource_tracker.ensure_running()  # multiprocessing starts it first, and allows SIGINT then
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # new processes inherit it
        try:
            super().init_processes()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def keep_subprocess_alive(self) -> None:
        """Start processes again, and forget the requests in flight of those that ended."""
        from prometheus_client.multiprocess import mark_process_dead

        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        for pid in before - {process.pid for process in self.processes}:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _end_with_parent() -> None:
    """Wait until the parent has ended, and end this process, which would keep the port."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for new processes, and restore them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
