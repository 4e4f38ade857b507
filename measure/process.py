"""`EngineProcess`: one engine in a process of its own, from outside."""

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
from digits_edge.measure.engines import OF_KERAS
from digits_edge.runtime.errors import DigitsEdgeError

#: A process that is silent for longer hangs.
_SILENCE_S = 900
#: How long one may take to end.
_ENDING_S = 10
#: What libraries read when they are loaded; most take no other number afterwards.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


class EngineError(DigitsEdgeError):
    """An engine cannot be measured; one line says why."""


class EngineProcess:
    """A process that computes when it is asked to, and only then.

    A context manager; leaving it ends the process. It opens its engine while others start: `wait` for it.

    Attributes:
        spec: what it opens.
        name: what the results call it.
        version: of its libraries, once it is open.
    """

    def __init__(self, spec: EngineSpec) -> None:
        """Start it."""
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
            # a group of its own: what a library forks is ended with it, and Ctrl-C is this process's to answer
            start_new_session=True,
        )
        with contextlib.suppress(EngineError):  # `wait` says so
            self._send(spec.to_json())

    @property
    def process_id(self) -> int:
        """The system's number for it."""
        return self._process.pid

    def wait(self) -> None:
        """Wait until the engine is open.

        Raises:
            EngineError: it could not be opened.
        """
        self.version = str(self._reply()["version"])

    def prepare(self, batch_size: int) -> NDArray[np.float32]:
        """Make it ready for batches of one size.

        Returns:
            Its answers to the spec's images, (K, C), given in such batches.

        Raises:
            EngineError: it cannot answer.
        """
        self._send(json.dumps({"batch_size": batch_size}))
        return np.array(self._reply()["answers"], np.float32)

    def time_us(self, seconds: float) -> float:
        """The median time of a call with the batch size it is ready for, measured for at least so long.

        Raises:
            EngineError: it cannot answer.
        """
        self._send(json.dumps({"seconds": seconds}))
        return float(self._reply()["p50_us"])

    def close(self) -> None:
        """End the process; it has nothing to save."""
        self._end()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            with contextlib.suppress(OSError):  # what was to be sent to it is sent to nobody
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
        except OSError as error:  # it has ended; what it said last tells more
            raise EngineError(self._last_words()) from error

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        guard = threading.Timer(_SILENCE_S, self._end)
        guard.start()
        try:
            line = self._process.stdout.readline()
        finally:
            guard.cancel()
        if not line:
            raise EngineError(self._last_words())
        values: dict[str, Any] = json.loads(line)
        if "error" in values:
            raise EngineError(values["error"])
        return values

    def _end(self) -> None:
        if self._process.poll() is not None:
            return
        if hasattr(os, "killpg"):
            os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()

    def _last_words(self) -> str:
        try:
            code = self._process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:  # it has closed its pipes and lives on
            self._end()
            code = self._process.wait()
        self._stderr.seek(0)
        said = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"its process ended with code {code}" + (f": {said[-1]}" if said else "")


def _environment(spec: EngineSpec) -> dict[str, str]:
    variables = dict(os.environ) | dict.fromkeys(_THREAD_VARIABLES, str(spec.threads))
    variables |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    if spec.engine in OF_KERAS:  # on processors only: what is compared is told by names, and these name no device
        variables["CUDA_VISIBLE_DEVICES"] = "-1"
    return variables
