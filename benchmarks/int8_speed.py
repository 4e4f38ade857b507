"""Speed of int8 compared with fp32 at batch 32 on one thread: `python -m benchmarks.int8_speed`.

The two precisions are timed round-robin, so other work on the machine slows both. Prints a line and a JSON line for
each model.
"""

import argparse
import json
import tempfile
from pathlib import Path

from digits_edge.measure.round_robin import medians_us
from digits_edge.runtime.classifier import Classifier

from .noise import batch_calls, images
from .untrained import keras_model, write_model_file

BATCH_SIZE = 32
WARM_UP = 5
PRECISIONS = ("fp32", "int8")


def compare(architecture: str, rounds: int) -> dict[str, object]:
    """Return the medians of round-robin calls, in milliseconds, and their ratio."""
    pixels = images(BATCH_SIZE)
    model = keras_model(architecture)
    with tempfile.TemporaryDirectory() as folder:
        classifiers = {
            precision: Classifier(
                write_model_file(model, precision, Path(folder, f"{precision}.onnx")), provider="cpu", threads=1
            )
            for precision in PRECISIONS
        }
    medians = medians_us(batch_calls(classifiers, pixels), rounds=rounds, warm_up=WARM_UP)
    return {
        "model": architecture,
        "batch_size": BATCH_SIZE,
        "threads": 1,
        "rounds": rounds,
        "fp32_ms": medians["fp32"] / 1e3,
        "int8_ms": medians["int8"] / 1e3,
        "ratio": medians["fp32"] / medians["int8"],
    }


def main() -> None:
    """Compare the models and print the results."""
    parser = argparse.ArgumentParser("python -m benchmarks.int8_speed", description=__doc__)
    parser.add_argument("--models", nargs="+", default=["cnn", "resnet"], metavar="NAME", help="architectures")
    parser.add_argument("--rounds", type=int, default=40, help="number of rounds  [default: %(default)s]")
    options = parser.parse_args()
    for architecture in options.models:
        result = compare(architecture, options.rounds)
        print(
            "{model}, batch {batch_size}, one thread: fp32 {fp32_ms:.2f} ms, int8 {int8_ms:.2f} ms, "
            "int8 is {ratio:.2f}× as fast".format(**result)
        )
        print(json.dumps(result))


if __name__ == "__main__":
    main()
