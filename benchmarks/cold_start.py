"""Time from process start to the printed prediction: `python -m benchmarks.cold_start [--model NAME|FILE]`.

The baseline is an interpreter that imports numpy and onnxruntime, opens the same session and runs it once on a blank
image. `digits-edge predict one.png` also reads and prepares a picture and checks the digest of the model file. Fresh
processes run round-robin, and every time is divided by the baseline's time of the same round. Two times are measured:
until the first line of output, and until the process ends. `--json` adds a JSON line.
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

BASELINE_PROGRAM = """
import sys
import numpy
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[2])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
print(session.run(None, {session.get_inputs()[0].name: numpy.zeros((1, 28, 28), numpy.uint8)})[0].argmax())
"""
SAMPLE = Path(__file__).parent.parent / "samples" / "3-on-black.png"
BASELINE = "onnxruntime alone"


def run_timed(command: list[str]) -> tuple[float, float]:
    """Run a process; return the seconds until its first line of output and until its end."""
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
    parser.add_argument("--model", help="bundled name or model file  [default: the default model]")
    parser.add_argument("--picture", type=Path, default=SAMPLE, help="picture to predict")
    parser.add_argument("--rounds", type=int, default=21, help="number of rounds  [default: %(default)s]")
    parser.add_argument("--json", action="store_true", help="add a JSON line")
    options = parser.parse_args()
    model = str(find_model(options.model, "cpu"))
    program = str(Path(sys.executable).with_name("digits-edge"))
    predict = [program, "predict", str(options.picture), "--model", model]
    commands = {
        BASELINE: [sys.executable, "-c", BASELINE_PROGRAM, model, str(available_threads())],
        "digits-edge predict": predict,
        "digits-edge predict --provider cpu": [*predict, "--provider", "cpu"],
        "digits-edge --version": [program, "--version"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(1 + options.rounds):
        for name, command in commands.items():
            seconds[name].append(run_timed(command))
    found = {}
    print(f"{'until':36s} {'first output':>20s} {'end':>20s}")
    for name, taken in seconds.items():
        ms, ratios = [], []
        for times, baseline in zip(zip(*taken, strict=True), zip(*seconds[BASELINE], strict=True), strict=True):
            # the first round loads the files into the page cache
            ms.append(statistics.median(times[1:]) * 1e3)
            ratios.append(statistics.median(own / other for own, other in zip(times[1:], baseline[1:], strict=True)))
        found[name] = {"ms": ms, "ratio": ratios}
        print(f"{name:36s}", *(f"{each:8.0f} ms × {ratio:5.2f}" for each, ratio in zip(ms, ratios, strict=True)))
    if options.json:
        print(json.dumps({"model": model, "rounds": options.rounds, "ways": found}))


if __name__ == "__main__":
    main()
