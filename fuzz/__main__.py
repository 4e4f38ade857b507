"""Fuzz every kind of input, guided by the branches that the inputs reach.

Runs all TARGETS, or the named ones, each in a process of its own. Inputs that make a target fail are stored in
FOLDER/found, and the exit code is 1.

Example: python -m fuzz picture table --scale 0.1
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from fuzz.corpus import inputs, store
from fuzz.targets import TARGETS

_STATUS = re.compile(r"^#(\d+)\s.*cov: (\d+)", re.MULTILINE)
_MAX_STORED_BYTES = 2048
_INITIAL = "initial-"


@click.command(help=__doc__)
@click.argument("targets", nargs=-1, type=click.Choice([*TARGETS]))
@click.option(
    "--scale",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Factor for the number of inputs.",
)
@click.option("--seed", type=click.IntRange(1), default=1, show_default=True, help="Seed of the fuzzer.")
@click.option(
    "--into", type=click.Path(file_okay=False, path_type=Path), help="Folder for inputs that reach new branches."
)
@click.option("--keep", is_flag=True, help="Store the small ones of these in fuzz/corpus.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def main(targets: tuple[str, ...], scale: float, seed: int, into: Path | None, keep: bool, as_json: bool) -> None:
    """Fuzz the targets and print the results."""
    folder = into or Path(tempfile.mkdtemp())
    rows = []
    for name in targets or TARGETS:
        rows.append(_fuzz(name, folder, max(1, round(TARGETS[name].inputs * scale)), seed))
        if not as_json:
            click.echo(_format_row(rows[-1]))
        if keep and rows[-1]["passed"]:
            store(name, _small_inputs(folder / name))
    total = sum(row["inputs"] for row in rows)
    click.echo(json.dumps(rows, indent=2) if as_json else f"{total:,} inputs in total; the corpus is in {folder}")
    if not all(row["passed"] for row in rows):
        raise SystemExit(1)


def _fuzz(name: str, folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Fuzz one target, starting from its seeds and stored inputs."""
    corpus, found = folder / name, folder / "found"
    for each in (corpus, found):
        each.mkdir(parents=True, exist_ok=True)
    for index, content in enumerate(inputs(name)):
        (corpus / f"{_INITIAL}{index}").write_bytes(content)
    options = (f"-runs={count}", f"-seed={seed}", f"-artifact_prefix={found}/{name}-")
    started = time.monotonic()
    code, output = _run_worker(name, corpus, *options)
    status, memory = _STATUS.findall(output), re.findall(r"MEMORY (\d+)", output)
    return {
        "target": name,
        "inputs": max((int(inputs_) for inputs_, _ in status), default=0),
        "branches": int(status[-1][1]) if status else 0,
        "seconds": time.monotonic() - started,
        "mb": int(memory[-1]) if memory else 0,
        "passed": code == 0,
        "output": None if code == 0 else output[-3000:],
    }


def _run_worker(name: str, corpus: Path, *options: str) -> tuple[int, str]:
    """Return the exit code and the output of a worker process."""
    command = [sys.executable, "-m", "fuzz.worker", name, str(corpus), *options]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "DIGITS_EDGE_CACHE": "/nonexistent"}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, check=False)
    return done.returncode, done.stdout.decode(errors="replace")


def _small_inputs(corpus: Path) -> list[bytes]:
    """Return the small inputs that libFuzzer found, without the initial ones."""
    found = [path for path in corpus.iterdir() if not path.name.startswith(_INITIAL)]
    return [path.read_bytes() for path in found if path.stat().st_size <= _MAX_STORED_BYTES]


def _format_row(row: dict[str, Any]) -> str:
    figures = f"{row['inputs']:>9,} inputs {row['branches']:>6,} branches {row['seconds']:>6.0f} s {row['mb']:>4} MB"
    return f"{row['target']:13}{figures}" + ("" if row["passed"] else f"  FAILED\n{row['output']}")


if __name__ == "__main__":
    main()
