"""28,000 rows to a submission, by the documents' way, by the least there is to do, and by ours.

    python -m benchmarks.kaggle_csv [test.csv.gz] [--repeat-rows 10]

The documents read with pandas, ask `keras.Model.predict` and write with pandas. The least is a well-kept parser of the
whole file (polars, pyarrow), `session.run` of onnxruntime over all cores in batches, and a joined string: no check of
anything. Ours is `digits-edge batch-predict`. Each is a fresh process, timed from its start to its end; all take turns,
and every time is divided by ours of the same round. Prints a line for each and a JSON line.
"""

# only the standard library is imported: a child's peak memory is counted from its parent's on (execve keeps the mark)
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

PATH_OF = """
import sys
from digits_edge.runtime.model.bundled import find_model
print(find_model(sys.argv[1], "cpu"))
"""

DOCUMENTS_WAY = """
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

_FLOOR = """
import sys
import numpy as np
import onnxruntime
{parse}
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
images = pixels.reshape(-1, 28, 28)
answers = [session.run(None, {{name: images[i : i + 256]}})[0] for i in range(0, len(images), 256)]
labels = np.concatenate(answers).argmax(axis=1).tolist()
with open(sys.argv[3], "w") as stream:
    stream.write("ImageId,Label\\n" + "".join(f"{{row}},{{label}}\\n" for row, label in enumerate(labels, 1)))
"""
#: How well-kept parsers read the table; each is told the type of the columns, as the quickest way wants it.
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
    """A process from its start to its end.

    Attributes:
        seconds: it took.
        peak_mb: its peak resident memory in MB (10⁶ bytes).
        output: its standard output.
    """

    seconds: float
    peak_mb: float
    output: str


def run(command: list[str]) -> Run:
    """Run a process to its end."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said)
        assert process.stdout is not None
        output = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(f"{command[:2]} failed: {said.read().decode()}")
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in kB, on macOS in bytes
    return Run(seconds, usage.ru_maxrss * unit / 1e6, output)


def ways(folder: Path, table: Path, model: str) -> dict[str, list[str]]:
    """The command of each way from a table to its submission, which is `folder/WAY.csv`."""
    keras_file = folder / "cnn-small.keras"
    run([sys.executable, "-c", BUILD, str(keras_file)])  # speed does not depend on the weights
    path = run([sys.executable, "-c", PATH_OF, model]).output.strip()
    commands = {"documents": [sys.executable, "-c", DOCUMENTS_WAY, str(keras_file)]}
    for parser, parse in _PARSERS.items():
        if find_spec(parser):
            commands[f"{parser} + session.run"] = [sys.executable, "-c", _FLOOR.format(parse=parse), path]
    commands = {way: [*command, str(table), str(folder / f"{way}.csv")] for way, command in commands.items()}
    return commands | {OURS: ours(table, folder / f"{OURS}.csv", model)}


def ours(table: Path, target: Path, model: str) -> list[str]:
    """The command of our way."""
    options = ["-o", str(target), "--model", model, "--provider", "cpu", "--overwrite"]
    return [sys.executable, "-m", "digits_edge.cli", "batch-predict", str(table), *options]


def compare(source: Path, model: str, rounds: int, times_the_rows: int) -> dict[str, Any]:
    """Seconds and peaks of interleaved runs, medians, and each way's seconds as a multiple of ours."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, longer = folder / "test.csv", folder / "longer.csv"
        with (gzip.open if source.suffix == ".gz" else open)(source, "rb") as packed, table.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
        commands = ways(folder, table, model)
        if times_the_rows > 1:
            repeat_rows(table, longer, times_the_rows)
            commands[f"{OURS}, {times_the_rows} times the rows"] = ours(longer, folder / "longer-answers", model)
        runs: dict[str, list[Run]] = {way: [] for way in commands}
        for _ in range(1 + rounds):
            for way, command in commands.items():
                runs[way].append(run(command))
        answered = {way: folder / f"{way}.csv" for way in commands}
        rows = {way: path.read_bytes().count(b"\n") - 1 for way, path in answered.items() if path.exists()}
    if len(set(rows.values())) != 1:
        sys.exit(f"not every way wrote the same number of rows: {rows}")
    counted = {way: results[1:] for way, results in runs.items()}  # the first run brought the files into memory
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
    """The same header, and the rows several times."""
    header, rows = table.read_bytes().split(b"\n", 1)
    with target.open("wb") as stream:
        stream.write(header + b"\n")
        for _ in range(times):
            stream.write(rows)


def main() -> None:
    """Compare and print."""
    data = Path(os.environ.get("DIGITS_EDGE_DATA", "../shared/data"))
    parser = argparse.ArgumentParser("python -m benchmarks.kaggle_csv", description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, nargs="?", default=data / "kaggle" / "test.csv.gz")
    parser.add_argument("--model", default="edge", help="a bundled name or a model file  [default: %(default)s]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeat-rows", type=int, default=1, metavar="K", help="ours with K times the rows too")
    options = parser.parse_args()
    result = compare(options.source, options.model, options.rounds, options.repeat_rows)
    print(f"{result['rows']:,} rows, medians of {options.rounds} rounds in turns, {options.model}")
    for way, found in result["ways"].items():
        print(
            f"{way:32s} {found['seconds']:6.2f} s {found['times_ours']:6.2f} times ours {found['peak_mb']:6.0f} MB peak"
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
