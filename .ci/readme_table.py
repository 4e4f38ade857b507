"""Update the table of models in README.md from `digits-edge models --json` and two files of `benchmarks/results/`.

Replaces the text between the markers. With --check it changes nothing, and exits with 1 if the table is out of date.
"""

import argparse
import csv
import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from digits_edge.cli.main import cli
from digits_edge.runtime.checks.accuracy import Accuracy

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"
#: Results of `benchmarks.record`; speeds are ratios within one file.
MACHINES = {
    "with VNNI": RESULTS / "2026-11-30-linux-x86_64-amd_epyc-cpu-1thread-ort1.32.0.csv",
    "without VNNI": RESULTS / "2026-11-29-linux-x86_64-amd_epyc-cpu-1thread-ort1.32.0.csv",
}
#: Models whose network was replaced after a machine was measured.
REPLACED = {"without VNNI": ("edge-ensemble-int8",)}
BASELINE = "cnn-small-fp32"
BATCHES = (1, 256)
START, END = "<!-- models -->", "<!-- /models -->"
HEAD = (
    "model",
    "parameters",
    "size",
    "data",
    "test accuracy (95 % interval)",
    "errors",
    *(f"speed {kind}" for kind in MACHINES),
)
UNKNOWN = "–"


def has_table(readme: str) -> bool:
    """Whether the README has both markers."""
    return START in readme and END in readme


def with_table(readme: str) -> str:
    """Return the README with the current table."""
    before, _, rest = readme.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{_table()}\n{END}{after}"


def _table() -> str:
    listed = CliRunner().invoke(cli, ["models", "--json"], catch_exceptions=False).stdout
    latencies = {kind: _latencies(path, REPLACED.get(kind, ())) for kind, path in MACHINES.items()}
    rows = [HEAD, ("---", *["---:"] * (len(HEAD) - 1))]
    models = [json.loads(line) for line in listed.splitlines()]
    rows += [_row(model, latencies) for model in models if model["output"] != "columns"]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    files = " and ".join(f"[{kind}]({path.relative_to(ROOT).as_posix()})" for kind, path in MACHINES.items())
    return "\n".join(
        [*lines, "", f"Speed: for one image / for 256, as a multiple of `{BASELINE}`'s; one thread, {files}."]
    )


def _latencies(results: Path, without: Collection[str]) -> dict[tuple[str, int], float]:
    """Return the median time of a call in µs by model and batch size."""
    with results.open(newline="", encoding="utf-8") as stream:
        lines = [line for line in csv.DictReader(stream) if line["model"] not in without]
    return {(line["model"], int(line["batch_size"])): float(line["p50_us"]) for line in lines}


def _row(model: dict[str, Any], latencies: dict[str, dict[tuple[str, int], float]]) -> tuple[str, ...]:
    data = accuracy = errors = UNKNOWN
    if test := model["test"]:
        data = test["name"]
        counted = Accuracy(test["errors"], test["images"])
        low, high = (f"{100 * bound:.2f}" for bound in counted.interval())
        accuracy = f"{100 * counted.value:.2f} % ({low}–{high})"
        errors = f"{counted.errors} of {counted.images:,}"
    return (
        f"`{model['name']}`{' (default)' if model['default'] else ''}",
        f"{model['parameters']:,}",
        f"{model['bytes'] / 1000:,.0f} kB",
        data,
        accuracy,
        errors,
        *(_speed(model["name"], times) for times in latencies.values()),
    )


def _speed(model: str, times: dict[tuple[str, int], float]) -> str:
    if (model, BATCHES[0]) not in times:
        return UNKNOWN
    return " / ".join(f"{times[BASELINE, size] / times[model, size]:.2g}×" for size in BATCHES)


def main() -> None:
    """Update or check the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only check the table")
    options = parser.parse_args()
    readme = README.read_text(encoding="utf-8")
    if not has_table(readme):
        sys.exit(f"{README.name} has no markers {START} … {END}: add them where the table belongs")
    expected = with_table(readme)
    if options.check and readme != expected:
        sys.exit(
            f"the table of models in {README.name} is out of date: run `python {Path(__file__).relative_to(ROOT)}`"
        )
    if not options.check:
        README.write_text(expected, encoding="utf-8")


if __name__ == "__main__":
    main()
