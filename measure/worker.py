"""The process of one engine: `python -m digits_edge.measure.worker`, which `process.EngineProcess` starts.

Lines of JSON. The first that comes in is an `EngineSpec`, answered with `{"version": …}` once the engine is open. Then
`{"batch_size": N}` makes it ready for batches of N and is answered with its `{"answers": …}` to the spec's images;
`{"seconds": S}` times it for so long and is answered with `{"p50_us": …}`. Whatever fails is `{"error": …}`, one line.
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

#: Of every turn: the first calls after another process computed find cold caches, and threads asleep.
_WARM_UP = 3
#: Of every turn, at least.
_CALLS = 3


def main() -> None:
    """Answer until nobody asks any more."""
    replies = _own_stdout()

    def reply(**values: Any) -> None:
        print(json.dumps(values), file=replies, flush=True)

    try:
        spec = EngineSpec.from_json(sys.stdin.readline())
        images: NDArray[np.uint8] = np.load(spec.images)
        engine = open_engine(spec)
    except Exception as error:  # libraries raise whatever their parts raise
        reply(error=_said(error))
        return
    reply(version=engine.version)
    run: Callable[[], object] | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "batch_size" in request:
                size, run = request["batch_size"], None
                answer = engine.program(size)
                reply(answers=_answers(answer, images, size).tolist())
                run = partial(answer, np.resize(images, (size, 28, 28)))
            elif run is None:
                reply(error="nothing is ready to be timed")
            else:
                _, counted = measure(run, warm_up=_WARM_UP, repeats=_CALLS, seconds=request["seconds"])
                reply(p50_us=counted.p50_us)
        except Exception as error:
            reply(error=_said(error))


def _answers(answer: Answer, images: NDArray[np.uint8], batch_size: int) -> NDArray[np.float32]:
    """The answers to all images, in batches of one size; images are repeated to fill the last."""
    rows = -len(images) % batch_size + len(images)
    filled = np.resize(images, (rows, 28, 28))
    parts = [answer(filled[start : start + batch_size]) for start in range(0, rows, batch_size)]
    return np.concatenate(parts)[: len(images)]


def _said(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed: pip install 'digits-edge[bench]'"
    return one_line(error)


def _own_stdout() -> TextIO:
    """What stdout was, for replies alone; what libraries print goes to stderr."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


if __name__ == "__main__":
    main()
