"""The README's table of models, from `digits-edge models --json` and the latest file of `benchmarks/results/`.

Rewrites what stands between the markers; with --check it changes nothing and exits 1 if that is not what stands there.
"""

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from digits_edge.cli.main import cli
from digits_edge.export.peers.results import SUFFIX
from digits_edge.runtime.accuracy import Accuracy

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"
LARGE_BATCH = 256
START, END = "<!-- models -->", "<!-- /models -->"
HEAD = (
    "model",
    "precision",
    "parameters",
    "size",
    "data",
    "test accuracy (95 % interval)",
    "errors",
    "one image",
    f"images/s at batch {LARGE_BATCH}",
)
UNKNOWN = "–"


def has_table(readme: str) -> bool:
    """Whether the markers are there."""
    return START in readme and END in readme


def with_table(readme: str) -> str:
    """The README with the table as it must be."""
    before, _, rest = readme.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{_table()}\n{END}{after}"


def _table() -> str:
    answer = CliRunner().invoke(cli, ["models", "--json"], catch_exceptions=False).stdout
    files = (path for path in RESULTS.glob("*.csv") if not path.name.endswith(SUFFIX))
    results = max(files, default=None)  # a name begins with its date
    latencies = _latencies(results) if results else {}
    rows = [HEAD, ("---", "---", *["---:"] * (len(HEAD) - 2))]
    rows += [_row(json.loads(line), latencies) for line in answer.splitlines()]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if results:
        lines += ["", f"Times: medians on one thread, [{results.stem}]({results.relative_to(ROOT).as_posix()})."]
    return "\n".join(lines)


def _latencies(results: Path) -> dict[tuple[str, int], dict[str, str]]:
    """(Model, batch size) → its line."""
    with results.open(newline="", encoding="utf-8") as stream:
        return {(line["model"], int(line["batch_size"])): line for line in csv.DictReader(stream)}


def _row(model: dict[str, Any], latencies: dict[tuple[str, int], dict[str, str]]) -> tuple[str, ...]:
    data = accuracy = errors = UNKNOWN
    if test := model["test"]:
        data = test["name"]
        counted = Accuracy(test["errors"], test["images"])
        low, high = (f"{100 * bound:.2f}" for bound in counted.interval())
        accuracy = f"{100 * counted.value:.2f} % ({low}–{high})"
        errors = f"{counted.errors} of {counted.images:,}"
    one_us, many_us = (_median_us(latencies.get((model["name"], batch_size))) for batch_size in (1, LARGE_BATCH))
    return (
        f"`{model['name']}`{' (default)' if model['default'] else ''}",
        model["precision"],
        f"{model['parameters']:,}",
        f"{model['bytes'] / 1000:,.0f} kB",
        data,
        accuracy,
        errors,
        f"{one_us:,.0f} µs" if one_us else UNKNOWN,
        f"{LARGE_BATCH / many_us * 1e6:,.0f}" if many_us else UNKNOWN,
    )


def _median_us(line: dict[str, str] | None) -> float | None:
    return None if line is None else float(line["p50_us"])


def main() -> None:
    """Rewrite or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    readme = README.read_text(encoding="utf-8")
    if not has_table(readme):
        sys.exit(f"{README.name} has no {START} … {END}")
    wanted = with_table(readme)
    if options.check and readme != wanted:
        sys.exit(f"the table of models in {README.name} is not the models': run {Path(__file__).relative_to(ROOT)}")
    if not options.check:
        README.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
