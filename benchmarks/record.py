"""Record the latencies of the bundled models on an idle machine: `python -m benchmarks.record`.

Runs `digits-edge benchmark` on one thread and writes a CSV to `benchmarks/results/`, with the day and the environment
in its name. `.ci/readme_table.py` names the files that it uses.
"""

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from digits_edge.measure.results import results_name

RESULTS = Path(__file__).with_name("results")
COLUMNS = ("model", "provider", "threads", "batch_size", "p50_us", "p90_us", "p99_us", "mean_us", "images_per_second")


def main() -> None:
    """Measure and write the file."""
    parser = argparse.ArgumentParser("python -m benchmarks.record", description=__doc__)
    parser.add_argument("--provider", default="cpu", help="provider  [default: %(default)s]")
    parser.add_argument("--seconds", default="3", help="minimum time for each row, in seconds  [default: %(default)s]")
    options = parser.parse_args()
    command = [sys.executable, "-m", "digits_edge.cli", "benchmark", "--threads", "1", "--cold-starts", "0", "--json"]
    command += ["--provider", options.provider, "--seconds", options.seconds]
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / results_name(".csv", options.provider, "1thread")
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, COLUMNS, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        for result in map(json.loads, lines):
            for row in result["rows"]:
                table.writerow({key: rounded(value) for key, value in (result | row).items()})
    print(path)


def write_rows(rows: Sequence[Any], path: Path) -> None:
    """Write dataclass instances of one type, at least one, as CSV; the folder is created if missing."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, asdict(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(map(asdict, rows))


def rounded(value: object) -> object:
    """Round a float to one digit: a tenth of a microsecond is below the resolution of the clock."""
    return round(value, 1) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
