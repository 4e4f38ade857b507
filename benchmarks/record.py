"""The latencies of the README's table: `python -m benchmarks.record`, on a quiet machine, then commit the file.

Runs `digits-edge benchmark` on one thread for all bundled models and writes `benchmarks/results/`, one CSV for each day
and environment; both are in the name. `.ci/readme_table.py` takes the latest.
"""

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path

from digits_edge.measure.results import results_name

RESULTS = Path(__file__).with_name("results")
COLUMNS = ("model", "provider", "threads", "batch_size", "p50_us", "p90_us", "p99_us", "mean_us", "images_per_second")


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser("python -m benchmarks.record", description=__doc__)
    parser.add_argument("--provider", default="cpu")
    parser.add_argument("--seconds", default="3", help="at least, for each row")
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


def rounded(value: object) -> object:
    """A tenth of a microsecond is less than the clock knows."""
    return round(value, 1) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
