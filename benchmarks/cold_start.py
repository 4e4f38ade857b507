"""From the start of a process to its printed answer: `python -m benchmarks.cold_start [--model NAME|FILE]`.

The least is an interpreter that imports numpy and onnxruntime, opens the same session and runs it once, on an image
that it does not have to read from a picture. Ours is `digits-edge predict one.png`: it brings a picture to the form of
MNIST, too, and checks the model file's hash. Fresh processes in turns; every time is divided by that of the least in
the same round; once until the answer is there, once until the process has ended. `--json` ends with a line for
programs.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from digits_edge.runtime.session.precision import find_model
from digits_edge.runtime.session.threads import available_threads

BARE = """
import sys
import numpy
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[2])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
print(session.run(None, {session.get_inputs()[0].name: numpy.zeros((1, 28, 28), numpy.uint8)})[0].argmax())
"""
SAMPLE = Path(__file__).parent.parent / "samples" / "3-on-black.png"
LEAST = "onnxruntime alone"


def answered(command: list[str]) -> tuple[float, float]:
    """Seconds until a process has printed its first line, and until it has ended."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        first_line_s = time.perf_counter() - started
    if process.returncode:
        sys.exit(f"{command[:3]} failed")
    return first_line_s, time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser("python -m benchmarks.cold_start", description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a bundled name or a model file  [default: the default]")
    parser.add_argument("--picture", type=Path, default=SAMPLE)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    model = str(find_model(options.model, "cpu"))
    program = str(Path(sys.executable).with_name("digits-edge"))
    predict = [program, "predict", str(options.picture), "--model", model]
    commands = {
        LEAST: [sys.executable, "-c", BARE, model, str(available_threads())],
        "digits-edge predict": predict,
        "digits-edge predict --provider cpu": [*predict, "--provider", "cpu"],
        "digits-edge --version": [program, "--version"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(1 + options.rounds):
        for name, command in commands.items():
            seconds[name].append(answered(command))
    found = {}
    print(f"{'until':36s} {'the answer':>20s} {'the end':>20s}")
    for name, taken in seconds.items():
        ms, ratios = [], []
        for times, least in zip(zip(*taken, strict=True), zip(*seconds[LEAST], strict=True), strict=True):
            # the first round brings the files into memory
            ms.append(statistics.median(times[1:]) * 1e3)
            ratios.append(statistics.median(own / other for own, other in zip(times[1:], least[1:], strict=True)))
        found[name] = {"ms": ms, "ratio": ratios}
        print(f"{name:36s}", *(f"{each:8.0f} ms × {ratio:5.2f}" for each, ratio in zip(ms, ratios, strict=True)))
    if options.json:
        print(json.dumps({"model": model, "rounds": options.rounds, "ways": found}))


if __name__ == "__main__":
    main()
