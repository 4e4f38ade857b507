"""Effect of onnxruntime's session settings on latency: `python -m benchmarks.session_settings [MODEL …]`.

Changes one setting at a time from those of `Classifier`; the calls are timed round-robin. Prints the median time of a
call, and its ratio to that with the settings of `Classifier`: below 1 the setting is faster. `predict_batch` is timed
too, to show what it adds to the bare call.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from digits_edge.measure.round_robin import medians_us
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.model.bundled import bundled_classifiers
from digits_edge.runtime.model.model_file import INPUT_NAME
from digits_edge.runtime.session.precision import find_model
from digits_edge.runtime.session.providers import open_session
from digits_edge.runtime.session.threads import available_threads

from .noise import batch_calls, images

AS_OPENED = "session.run, default settings"
_MIN_ROUNDS = 20
_LEVELS = onnxruntime.GraphOptimizationLevel


def _options(threads: int = 1, *, spinning: str = "0") -> Any:
    """Return the options that `open_session` uses on the CPU, with another number of threads if given."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    return options


def _changed(options: Any, **attributes: Any) -> Any:
    for name, value in attributes.items():
        setattr(options, name, value)
    return options


#: Name → function that returns options with one setting changed.
SETTINGS: dict[str, Callable[[], Any]] = {
    "all threads in each operator": lambda: _options(available_threads()),
    "all threads, spinning": lambda: _options(available_threads(), spinning="1"),
    "no arena": lambda: _changed(_options(), enable_cpu_mem_arena=False),
    "no memory pattern": lambda: _changed(_options(), enable_mem_pattern=False),
    "extended optimization": lambda: _changed(_options(), graph_optimization_level=_LEVELS.ORT_ENABLE_EXTENDED),
    "parallel execution": lambda: _changed(_options(), execution_mode=onnxruntime.ExecutionMode.ORT_PARALLEL),
}


def _bound(session: Any, pixels: NDArray[np.uint8]) -> Callable[[], object]:
    """Return a call whose input and output are bound in advance."""
    binding = session.io_binding()
    output = session.get_outputs()[0]
    outputs = np.empty((len(pixels), output.shape[1]), np.float32)
    binding.bind_input(INPUT_NAME, "cpu", 0, np.uint8, pixels.shape, pixels.ctypes.data)
    binding.bind_output(output.name, "cpu", 0, np.float32, outputs.shape, outputs.ctypes.data)

    def call() -> object:
        session.run_with_iobinding(binding)
        return outputs  # must live as long as it is bound

    return call


def compare(path: Path, batch_size: int, rounds: int) -> dict[str, Any]:
    """Return the median times of the calls (µs) and of opening the session (ms)."""
    pixels = images(batch_size)
    content = path.read_bytes()

    def open_model(options: Any, model: bytes | str = content) -> Any:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    calls = {AS_OPENED: _run(open_session(content, "cpu", 1).session, pixels)}
    threads = dict.fromkeys((1, available_threads()))
    with tempfile.TemporaryDirectory() as folder:
        for name, options in SETTINGS.items():
            calls[name] = _run(open_model(options()), pixels)
        fixed = _options()
        fixed.add_free_dimension_override_by_name("N", batch_size)
        calls["fixed batch size"] = _run(open_model(fixed), pixels)
        optimized = str(Path(folder, "optimized.onnx"))
        open_model(_changed(_options(), optimized_model_filepath=optimized))
        unoptimized = _changed(_options(), graph_optimization_level=_LEVELS.ORT_DISABLE_ALL)
        calls["optimized graph saved"] = _run(open_model(unoptimized, optimized), pixels)
        calls["IO binding"] = _bound(open_model(_options()), pixels)
        classifiers = {f"predict_batch, {n} thread(s)": Classifier(path, provider="cpu", threads=n) for n in threads}
        calls |= batch_calls(classifiers, pixels)
        microseconds = medians_us(calls, rounds=rounds, warm_up=rounds // 10)
        opening: dict[str, Callable[[], object]] = {
            "open": lambda: open_model(_options()),
            "open, optimized graph saved": lambda: open_model(unoptimized, optimized),
        }
        milliseconds = {name: us / 1e3 for name, us in medians_us(opening, rounds=20, warm_up=2).items()}
    return {
        "model": path.stem,
        "batch_size": batch_size,
        "rounds": rounds,
        "call_us": microseconds,
        "open_ms": milliseconds,
    }


def _run(session: Any, pixels: NDArray[np.uint8]) -> Callable[[], object]:
    names, feed = [session.get_outputs()[0].name], {INPUT_NAME: pixels}
    return lambda: session.run(names, feed)


def main() -> None:
    """Compare the settings and print the results."""
    parser = argparse.ArgumentParser("python -m benchmarks.session_settings", description=__doc__.splitlines()[0])
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", help="bundled names or model files  [default: all bundled models]"
    )
    parser.add_argument("--batch-size", nargs="+", type=int, default=[1, 256], help="batch sizes  [default: 1 256]")
    parser.add_argument(
        "--images", type=int, default=3000, help="total images for each setting  [default: %(default)s]"
    )
    options = parser.parse_args()
    for model in options.models or [each.name for each in bundled_classifiers()]:
        path = find_model(model, "cpu")
        for batch_size in options.batch_size:
            found = compare(path, batch_size, max(_MIN_ROUNDS, options.images // batch_size))
            _print(found)
            print(json.dumps(found))


def _print(found: dict[str, Any]) -> None:
    default_us = found["call_us"][AS_OPENED]
    print("\n{model}, batch {batch_size}, {rounds} rounds".format(**found))
    for name, us in found["call_us"].items():
        print(f"  {name:30s} {us:10.1f} µs  {us / default_us:5.2f}  {us - default_us:+8.1f} µs")
    for name, ms in found["open_ms"].items():
        print(f"  {name:30s} {ms:10.2f} ms")


if __name__ == "__main__":
    main()
