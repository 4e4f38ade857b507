"""The process of an engine: `python -m digits_edge.measure.worker`, started by `process.EngineProcess`.

Requests and replies are lines of JSON:

- an `EngineSpec`, the first request, opens the engine; the reply is `{"version": …}`;
- `{"batch_size": N}` prepares the engine for batches of N; the reply is `{"answers": …}`, the probabilities for the
  images of the specification;
- `{"seconds": S}` times calls for at least S seconds; the reply is `{"p50_us": …}`.

The reply to a failed request is `{"error": …}` with a message on one line.
"""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from digits_edge.measure.engine_spec import EngineSpec
from digits_edge.measure.engines import Answer, open_engine
from digits_edge.runtime.checks.latency import measure
from digits_edge.runtime.errors import one_line
from digits_edge.runtime.packages import needs_message

#: Untimed calls of every turn; after the turn of another process, caches are cold and threads asleep.
_WARM_UP = 3
#: Minimum number of timed calls of every turn.
_MIN_CALLS = 3


def main() -> None:
    """Serve requests until stdin is closed."""
    replies = _take_stdout()

    def reply(**values: Any) -> None:
        print(json.dumps(values), file=replies, flush=True)

    try:
        spec = EngineSpec.from_json(sys.stdin.readline())
        images: NDArray[np.uint8] = np.load(spec.images)
        engine = open_engine(spec)
    except Exception as error:  # libraries raise exceptions of many types
        reply(error=_message(error))
        return
    reply(version=engine.version)
    run: Callable[[], object] | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "batch_size" in request:
                size, run = request["batch_size"], None
                predict = engine.program(size)
                reply(answers=_predict_all(predict, images, size).tolist())
                run = partial(predict, np.resize(images, (size, *images.shape[1:])))
            elif run is None:
                reply(error="no batch size is prepared; send batch_size before seconds")
            else:
                _, timed = measure(run, warm_up=_WARM_UP, repeats=_MIN_CALLS, seconds=request["seconds"])
                reply(p50_us=timed.p50_us)
        except Exception as error:
            reply(error=_message(error))


def _predict_all(predict: Answer, images: NDArray[np.uint8], batch_size: int) -> NDArray[np.float32]:
    """Predict all images in batches of one size; the first images are repeated to fill the last batch."""
    rows = -len(images) % batch_size + len(images)
    filled = np.resize(images, (rows, *images.shape[1:]))
    parts = [predict(filled[start : start + batch_size]) for start in range(0, rows, batch_size)]
    return np.concatenate(parts)[: len(images)]


def _message(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return needs_message("this engine", ["bench"])
    return one_line(error)


def _take_stdout() -> TextIO:
    """Reserve stdout for replies; output of libraries to stdout is redirected to stderr."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


if __name__ == "__main__":
    main()
