"""Control of an engine that runs in its own process: `EngineProcess`."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from digits_edge.measure.engine_spec import EngineSpec
from digits_edge.measure.engines import KERAS_ENGINES
from digits_edge.runtime.errors import DigitsEdgeError

#: Timeout of a reply; a process without a reply for longer is considered hung.
_REPLY_TIMEOUT_S = 900
#: Timeout of the exit of a process.
_EXIT_TIMEOUT_S = 10
#: Variables that libraries read when they are loaded; most cannot change the number of threads later.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


class EngineError(DigitsEdgeError):
    """An engine cannot be measured; the message gives the reason on one line."""


class EngineProcess:
    """A process that runs an engine on request and is idle otherwise.

    A context manager that ends the process on exit. Several processes open their engines concurrently; call `wait`
    before use.

    Attributes:
        spec: specification of the engine.
        name: name of the engine in the results.
        version: names and versions of its libraries; empty until the engine is open.

    Example:
        >>> with EngineProcess(spec) as process:  # doctest: +SKIP
        ...     process.wait()
        ...     probabilities = process.prepare(batch_size=32)
        ...     p50_us = process.time_us(seconds=1)
    """

    def __init__(self, spec: EngineSpec) -> None:
        """Start the process."""
        self.spec, self.name, self.version = spec, spec.name, ""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "digits_edge.measure.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=_environment(spec),
            text=True,
            encoding="utf-8",
            # a separate process group: children are ended with it, and only the parent handles Ctrl-C
            start_new_session=True,
        )
        with contextlib.suppress(EngineError):  # `wait` raises it
            self._send(spec.to_json())

    @property
    def process_id(self) -> int:
        """The process id."""
        return self._process.pid

    def wait(self) -> None:
        """Wait until the engine is open.

        Raises:
            EngineError: the engine could not be opened.
        """
        self.version = str(self._reply()["version"])

    def prepare(self, batch_size: int) -> NDArray[np.float32]:
        """Prepare the engine for a batch size, and predict the images of the specification in such batches.

        Returns:
            Probabilities, float32 (K, C).

        Raises:
            EngineError: the prediction failed.
        """
        self._send(json.dumps({"batch_size": batch_size}))
        return np.array(self._reply()["answers"], np.float32)

    def time_us(self, seconds: float) -> float:
        """Measure the median time of a call, in µs, with the prepared batch size.

        Args:
            seconds: minimum duration of the measurement.

        Raises:
            EngineError: no batch size is prepared, or the prediction failed.
        """
        self._send(json.dumps({"seconds": seconds}))
        return float(self._reply()["p50_us"])

    def close(self) -> None:
        """Kill the process; it has no state to save."""
        self._kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            with contextlib.suppress(OSError):  # flushing unsent input fails after the process has ended
                stream.close()  # type: ignore[union-attr]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            print(line, file=self._process.stdin, flush=True)
        except OSError as error:  # the process has ended; its stderr has the reason
            raise EngineError(self._exit_reason()) from error

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        watchdog = threading.Timer(_REPLY_TIMEOUT_S, self._kill)
        watchdog.start()
        try:
            line = self._process.stdout.readline()
        finally:
            watchdog.cancel()
        if not line:
            raise EngineError(self._exit_reason())
        values: dict[str, Any] = json.loads(line)
        if "error" in values:
            raise EngineError(values["error"])
        return values

    def _kill(self) -> None:
        if self._process.poll() is not None:
            return
        if hasattr(os, "killpg"):
            os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()

    def _exit_reason(self) -> str:
        try:
            code = self._process.wait(_EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:  # it has closed its pipes, but is still running
            self._kill()
            code = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"the process exited with code {code}" + (f": {lines[-1]}" if lines else "")


def _environment(spec: EngineSpec) -> dict[str, str]:
    variables = dict(os.environ) | dict.fromkeys(_THREAD_VARIABLES, str(spec.threads))
    variables |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    if spec.engine in KERAS_ENGINES:  # CPU only, because the engine names in the results do not contain a device
        variables["CUDA_VISIBLE_DEVICES"] = "-1"
    return variables
