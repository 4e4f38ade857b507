"""28,000 rows to a submission, by the documents' way and by ours: `python -m benchmarks.kaggle_csv [test.csv.gz]`.

The documents read with pandas, ask `keras.Model.predict` and write with pandas; ours is `digits-edge batch-predict`.
Each is a fresh process, timed from its start to its end, with as many threads as it takes; the two take turns. Prints
a readable line and a JSON line.
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
from pathlib import Path

BUILD = """
import sys
from digits_edge.train import build
build("cnn-small").save(sys.argv[1])
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

OURS = [sys.executable, "-m", "digits_edge.cli", "batch-predict"]


def run(command: list[str]) -> tuple[float, float]:
    """Run a process to its end: seconds, and its peak resident memory in MB (10⁶ bytes)."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[:2]} failed: {said.decode()}")
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in kB, on macOS in bytes
    return seconds, usage.ru_maxrss * unit / 1e6


def compare(source: Path, model: str, rounds: int) -> dict[str, object]:
    """Medians of interleaved runs, their ratio, and the largest peak of each."""
    with tempfile.TemporaryDirectory() as folder:
        table, keras_file = Path(folder, "test.csv"), Path(folder, "cnn-small.keras")
        with (gzip.open if source.suffix == ".gz" else open)(source, "rb") as packed, table.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
        run([sys.executable, "-c", BUILD, str(keras_file)])  # speed does not depend on the weights
        theirs, ours = Path(folder, "theirs.csv"), Path(folder, "ours.csv")
        commands = {
            "documents": [sys.executable, "-c", DOCUMENTS_WAY, str(keras_file), str(table), str(theirs)],
            "digits_edge": [*OURS, str(table), "-o", str(ours), "--model", model, "--overwrite"],
        }
        runs: dict[str, list[tuple[float, float]]] = {way: [] for way in commands}
        for _ in range(1 + rounds):
            for way, command in commands.items():
                runs[way].append(run(command))
        rows = [len(path.read_text().splitlines()) - 1 for path in (theirs, ours)]
    if rows[0] != rows[1]:
        sys.exit(f"the documents' way wrote {rows[0]} rows, digits-edge {rows[1]}")
    counted = {way: results[1:] for way, results in runs.items()}  # the first run brought the files into memory
    seconds = {way: statistics.median(time_s for time_s, _ in results) for way, results in counted.items()}
    peak_mb = {way: max(peak for _, peak in results) for way, results in counted.items()}
    return {
        "rows": rows[1],
        "rounds": rounds,
        "model": model,
        "documents_s": seconds["documents"],
        "digits_edge_s": seconds["digits_edge"],
        "ratio": seconds["documents"] / seconds["digits_edge"],
        "documents_peak_mb": peak_mb["documents"],
        "digits_edge_peak_mb": peak_mb["digits_edge"],
    }


def main() -> None:
    """Compare and print."""
    data = Path(os.environ.get("DIGITS_EDGE_DATA", "../shared/data"))
    parser = argparse.ArgumentParser("python -m benchmarks.kaggle_csv", description=__doc__)
    parser.add_argument("source", type=Path, nargs="?", default=data / "kaggle" / "test.csv.gz")
    parser.add_argument("--model", default="cnn-small", help="a bundled name or a model file")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    result = compare(options.source, options.model, options.rounds)
    print(
        "{rows:,} rows: documents' way {documents_s:.2f} s and {documents_peak_mb:.0f} MB, digits-edge "
        "{digits_edge_s:.2f} s and {digits_edge_peak_mb:.0f} MB, {ratio:.1f}x as fast".format(**result)
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
