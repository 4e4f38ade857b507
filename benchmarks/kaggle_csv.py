"""Time from Kaggle's test.csv (28,000 rows) to a submission: pandas and Keras, bare onnxruntime, digits-edge.

    python -m benchmarks.kaggle_csv [test.csv.gz] [--repeat-rows 10]

- `notebook`: read with pandas, `keras.Model.predict`, write with pandas, as notebooks do.
- `polars + session.run` (also pyarrow, pandas): read with a fast parser, run onnxruntime on all cores in batches, write
  a joined string, without any check.
- `digits-edge`: `digits-edge batch-predict`.

Each run is a fresh process, timed from its start to its end. The processes run round-robin, and every time is divided
by that of digits-edge in the same round. Prints a line for each and a JSON line.
"""

# imports the standard library only: a child's peak memory starts at that of its parent (execve does not reset it)
import argparse
import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

BUILD = """
import sys
from digits_edge.train import build
build("cnn-small").save(sys.argv[1])
"""

PRINT_PATH = """
import sys
from digits_edge.runtime.session.precision import find_model
print(find_model(sys.argv[1], "cpu"))
"""

NOTEBOOK = """
import sys
import keras
import pandas as pd
test = pd.read_csv(sys.argv[2])
images = test.values.reshape(-1, 28, 28, 1).astype("float32") / 255
model = keras.saving.load_model(sys.argv[1], compile=False)
labels = model.predict(images, verbose=0).argmax(axis=1)
submission = pd.DataFrame({"ImageId": range(1, len(labels) + 1), "Label": labels})
submission.to_csv(sys.argv[3], index=False)
"""

_BARE = """
import sys
import numpy as np
import onnxruntime
{parse}
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
images = pixels.reshape(-1, 28, 28)
outputs = [session.run(None, {{name: images[i : i + 256]}})[0] for i in range(0, len(images), 256)]
labels = np.concatenate(outputs).argmax(axis=1).tolist()
with open(sys.argv[3], "w") as stream:
    stream.write("ImageId,Label\\n" + "".join(f"{{row}},{{label}}\\n" for row, label in enumerate(labels, 1)))
"""
#: Fast parsers; each gets the type of the columns, which is its fastest way.
_PARSERS = {
    "polars": """
import polars
schema = {f"pixel{i}": polars.UInt8 for i in range(784)}
pixels = polars.read_csv(sys.argv[2], schema=schema).to_numpy()
pixels = np.ascontiguousarray(pixels)
""",
    "pyarrow": """
import pyarrow
from pyarrow import csv
types = csv.ConvertOptions(column_types={f"pixel{i}": pyarrow.uint8() for i in range(784)})
table = csv.read_csv(sys.argv[2], convert_options=types)
pixels = np.stack([column.to_numpy() for column in table.columns], axis=1)
""",
    "pandas": """
import pandas
pixels = pandas.read_csv(sys.argv[2], dtype=np.uint8).to_numpy()
pixels = np.ascontiguousarray(pixels)
""",
}
OURS = "digits-edge"


class Run(NamedTuple):
    """Result of a process.

    Attributes:
        seconds: time from start to end.
        peak_mb: peak resident memory in MB (10⁶ bytes).
        output: standard output.
    """

    seconds: float
    peak_mb: float
    output: str


def run(command: list[str]) -> Run:
    """Run a process to its end."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        assert process.stdout is not None
        output = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            sys.exit(f"{command[:2]} failed: {errors.read().decode()}")
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in KiB; on macOS it is in bytes
    return Run(seconds, usage.ru_maxrss * unit / 1e6, output)


def ways(folder: Path, table: Path, model: str) -> dict[str, list[str]]:
    """Return the command of each way; it writes its submission to `folder/WAY.csv`."""
    keras_file = folder / "cnn-small.keras"
    run([sys.executable, "-c", BUILD, str(keras_file)])  # speed does not depend on the weights
    path = run([sys.executable, "-c", PRINT_PATH, model]).output.strip()
    commands = {"notebook": [sys.executable, "-c", NOTEBOOK, str(keras_file)]}
    for parser, parse in _PARSERS.items():
        if find_spec(parser):
            commands[f"{parser} + session.run"] = [sys.executable, "-c", _BARE.format(parse=parse), path]
    commands = {way: [*command, str(table), str(folder / f"{way}.csv")] for way, command in commands.items()}
    return commands | {OURS: ours(table, folder / f"{OURS}.csv", model)}


def ours(table: Path, target: Path, model: str) -> list[str]:
    """Return the command of digits-edge."""
    options = ["-o", str(target), "--model", model, "--provider", "cpu", "--overwrite"]
    return [sys.executable, "-m", "digits_edge.cli", "batch-predict", str(table), *options]


def compare(source: Path, model: str, rounds: int, times_the_rows: int) -> dict[str, Any]:
    """Run all ways round-robin.

    Returns:
        Median seconds and peak memory of each way, and its seconds as a multiple of those of digits-edge.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, longer = folder / "test.csv", folder / "longer.csv"
        with (gzip.open if source.suffix == ".gz" else open)(source, "rb") as packed, table.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
        commands = ways(folder, table, model)
        if times_the_rows > 1:
            repeat_rows(table, longer, times_the_rows)
            commands[f"{OURS}, {times_the_rows} times the rows"] = ours(longer, folder / "longer-submission.csv", model)
        runs: dict[str, list[Run]] = {way: [] for way in commands}
        for _ in range(1 + rounds):
            for way, command in commands.items():
                runs[way].append(run(command))
        submissions = {way: folder / f"{way}.csv" for way in commands}
        rows = {way: path.read_bytes().count(b"\n") - 1 for way, path in submissions.items() if path.exists()}
    if len(set(rows.values())) != 1:
        sys.exit(f"numbers of rows written differ: {rows}")
    counted = {way: results[1:] for way, results in runs.items()}  # the first round loads the files into the page cache
    own = [each.seconds for each in counted[OURS]]
    return {
        "rows": rows[OURS],
        "rounds": rounds,
        "model": model,
        "ways": {
            way: {
                "seconds": statistics.median(each.seconds for each in results),
                "peak_mb": max(each.peak_mb for each in results),
                "times_ours": statistics.median(
                    each.seconds / ours_s for each, ours_s in zip(results, own, strict=True)
                ),
            }
            for way, results in counted.items()
        },
    }


def repeat_rows(table: Path, target: Path, times: int) -> None:
    """Write a table with the same header and the rows repeated."""
    header, rows = table.read_bytes().split(b"\n", 1)
    with target.open("wb") as stream:
        stream.write(header + b"\n")
        for _ in range(times):
            stream.write(rows)


def main() -> None:
    """Compare the ways and print the results."""
    data = Path(os.environ.get("DIGITS_EDGE_DATA", "../shared/data"))
    parser = argparse.ArgumentParser("python -m benchmarks.kaggle_csv", description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, nargs="?", default=data / "kaggle" / "test.csv.gz", help="test.csv")
    parser.add_argument("--model", default="edge", help="bundled name or model file  [default: %(default)s]")
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds  [default: %(default)s]")
    parser.add_argument(
        "--repeat-rows", type=int, default=1, metavar="K", help="also run digits-edge with K times the rows"
    )
    options = parser.parse_args()
    result = compare(options.source, options.model, options.rounds, options.repeat_rows)
    print(f"{result['rows']:,} rows, medians of {options.rounds} rounds, round-robin, {options.model}")
    for way, found in result["ways"].items():
        print(
            f"{way:32s} {found['seconds']:6.2f} s {found['times_ours']:6.2f}× the time of {OURS} "
            f"{found['peak_mb']:6.0f} MB peak"
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
