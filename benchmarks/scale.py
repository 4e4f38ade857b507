"""Time and memory of `--engine ray` and of one process on millions of rows, also with a worker killed.

    python -m benchmarks.scale FOLDER --kind parquet|csv|pictures [--rows N] [--rows-per-file N] [--kill]

Writes MNIST's training images repeatedly to FOLDER/parquet or FOLDER/csv (files of 50,000 rows) or to FOLDER/pictures
(one folder of PNGs), and predicts them with both engines and the same number of threads. Prints the rows per second of
each, their ratio, the time of Ray's start, and the memory of all processes in each quarter of the run; then compares
every prediction. With `--kill` the first worker is killed (SIGKILL) after a third of the rows, and only Ray is run.
"""

import argparse
import csv
import statistics
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pyarrow as arrow
import pyarrow.parquet as parquet
from PIL import Image

from digits_edge.runtime.batch.distributed import predict_with_ray
from digits_edge.runtime.batch.pictures import batch_predict_pictures
from digits_edge.runtime.batch.table import batch_predict
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets import load
from digits_edge.runtime.session.threads import available_threads

_SAMPLE_INTERVAL_S = 0.5


def make(folder: Path, kind: str, rows: int, rows_per_file: int) -> list[Path]:
    """Write files of MNIST's training images, each in another order; existing files are not changed."""
    (folder / kind).mkdir(parents=True, exist_ok=True)
    data = load("mnist")
    assert data.labels is not None
    if kind == "pictures":
        paths = [folder / kind / f"{number:07d}.png" for number in range(rows)]
        for number, path in enumerate(paths):
            if not path.exists():
                Image.fromarray(data.images[number % len(data)]).save(path)
        return paths
    paths = [folder / kind / f"part-{number:05d}.{kind}" for number in range(-(-rows // rows_per_file))]
    pixels = data.images.reshape(-1, 784)
    numbers = [str(value).encode() for value in range(256)]
    header = ("label," + ",".join(f"pixel{index}" for index in range(784))).encode()
    lines: list[bytes] = []
    for number, path in enumerate(paths):
        if path.exists():
            continue
        order = np.random.default_rng(number).permutation(len(pixels))[:rows_per_file]
        if kind == "parquet":
            table = arrow.table({"image": [pixels[row].tobytes() for row in order], "label": data.labels[order]})
            parquet.write_table(table, path, row_group_size=25_000)
            continue
        lines = lines or [
            b",".join(numbers[value] for value in (label, *row))
            for label, row in zip(data.labels.tolist(), pixels.tolist(), strict=True)
        ]
        path.write_bytes(b"\n".join([header, *(lines[row] for row in order)]) + b"\n")
    return paths


def alone(paths: list[Path], target: Path, threads: int) -> float:
    """Predict with one process, a submission for each file; return the rows per second."""
    target.mkdir(exist_ok=True)
    started = time.perf_counter()
    rows = 0
    with Classifier("edge", provider="cpu", threads=1) as classifier:
        if paths[0].suffix == ".png":
            output = target / "pictures.csv"
            rows = batch_predict_pictures(classifier, paths, output, workers=threads, overwrite=True).pictures
            paths = []
        for path in paths:
            output = target / f"{path.stem}.csv"
            rows += batch_predict(classifier.predict_batch, path, output, workers=threads, overwrite=True).rows
    return rows / (time.perf_counter() - started)


def tree() -> list[psutil.Process]:
    """Return this process and its descendants."""
    process = psutil.Process()
    return [process, *process.children(recursive=True)]


def memory_mb() -> float:
    """Return the memory of this process and its descendants, in MB, with shared pages counted once (PSS)."""
    total_bytes = 0
    for process in tree():
        with suppress(psutil.Error):
            total_bytes += process.memory_full_info().pss
    return total_bytes / 1e6


def kill_a_worker() -> int:
    """Kill the first worker process; return its ID."""
    for process in tree():
        with suppress(psutil.Error):  # it has exited
            if "MapWorker" in " ".join(process.cmdline()):
                process.kill()
                return int(process.pid)
    raise SystemExit("no worker process found")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder for sources and outputs")
    parser.add_argument("--kind", choices=["parquet", "csv", "pictures"], default="parquet")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rows-per-file", type=int, default=50_000)
    parser.add_argument("--threads", type=int, default=available_threads())
    parser.add_argument("--kill", action="store_true")
    arguments = parser.parse_args()
    paths = make(arguments.folder, arguments.kind, arguments.rows, arguments.rows_per_file)
    target = arguments.folder / f"{arguments.kind}-by-ray"
    rate_alone = (
        None if arguments.kill else alone(paths, arguments.folder / f"{arguments.kind}-alone", arguments.threads)
    )
    if rate_alone is not None:
        print(f"one process, {arguments.threads} threads: {rate_alone:,.0f} rows/s", flush=True)

    done: list[tuple[float, int]] = []
    samples: list[tuple[int, float]] = []
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(_SAMPLE_INTERVAL_S):
            samples.append((done[-1][1] if done else 0, memory_mb()))

    killed: list[int] = []

    def listen(rows: int) -> None:
        done.append((time.perf_counter(), rows))
        if arguments.kill and not killed and rows >= arguments.rows / 3:
            killed.append(kill_a_worker())
            print(f"killed worker {killed[0]} after {rows:,} rows", flush=True)

    sampler = threading.Thread(target=sample)
    sampler.start()
    started = time.perf_counter()
    report = predict_with_ray(
        [str(arguments.folder / arguments.kind)],
        str(target),
        model="edge",
        provider="cpu",
        actors=arguments.threads,
        overwrite=True,
        listener=listen,
    )
    ended.set()
    sampler.join()
    rows = report.manifest.counts["answered"]
    first_s, first_rows = done[0]
    steady = (rows - first_rows) / (done[-1][0] - first_s)
    print(f"ray, {report.actors} classifiers: {rows / report.elapsed_s:,.0f} rows/s, including the start")
    print(f"  first block after {first_s - started:.1f} s, then {steady:,.0f} rows/s")
    if rate_alone is not None:
        print(
            f"  speed relative to one process: {rows / report.elapsed_s / rate_alone:.2f}×, "
            f"from the first block on {steady / rate_alone:.2f}×"
        )
    for quarter in range(4):
        of_quarter = [mb for at, mb in samples if quarter * rows / 4 < at <= (quarter + 1) * rows / 4]
        if of_quarter:
            print(
                f"  memory in quarter {quarter + 1}: median {statistics.median(of_quarter):,.0f} MB, "
                f"maximum {max(of_quarter):,.0f} MB"
            )
    print(
        "identical predictions"
        if same_predictions(paths, target, arguments.folder / f"{arguments.kind}-alone")
        else "predictions DIFFER"
    )


def same_predictions(paths: list[Path], target: Path, alone_folder: Path) -> bool:
    """Whether every row has exactly one prediction, equal to that of one process."""
    if paths[0].suffix == ".png":
        tables = [parquet.read_table(shard).to_pylist() for shard in sorted(target.glob("*.parquet"))]
        rows_of_all = [row for table in tables for row in table]
        found = [(Path(row["File"]).name, row["Label"] or "", f"{row['Confidence']:.6f}") for row in rows_of_all]
        with (alone_folder / "pictures.csv").open() as stream:
            return found == [tuple(row[:3]) for row in csv.reader(stream)][1:]
    by_file: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for shard in sorted(target.glob("*.parquet")):
        table = parquet.read_table(shard)
        by_file.setdefault(table["File"][0].as_py(), []).append(
            (table["ImageId"].to_numpy(), table["Label"].to_numpy())
        )
    for path in paths:
        rows, labels = (np.concatenate(part) for part in zip(*by_file.pop(str(path)), strict=True))
        expected = np.loadtxt(alone_folder / f"{path.stem}.csv", np.int64, delimiter=",", skiprows=1)
        if not np.array_equal(np.column_stack([rows, labels]), expected):
            return False
    return not by_file


if __name__ == "__main__":
    sys.exit(main())
