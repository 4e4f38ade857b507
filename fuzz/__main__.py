"""Give random inputs to every way into digits-edge, each in a process of its own, guided by the branches they reach.

All targets, or those that are named. What makes one fail is kept in FOLDER/found; a target that fails ends the run
with exit code 1.
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

from fuzz.corpus import inputs, keep
from fuzz.targets import TARGETS

_STATUS = re.compile(r"^#(\d+)\s.*cov: (\d+)", re.MULTILINE)
_MAX_KEPT_BYTES = 2048
_KEPT = "kept-"


@click.command(help=__doc__)
@click.argument("targets", nargs=-1, type=click.Choice([*TARGETS]))
@click.option("--scale", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True, help="Of the inputs.")
@click.option("--seed", type=click.IntRange(1), default=1, show_default=True, help="Of the fuzzer.")
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), help="Folder for what reached new branches.")
@click.option("--keep", "kept", is_flag=True, help="Keep the small ones of these in fuzz/corpus.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def main(targets: tuple[str, ...], scale: float, seed: int, into: Path | None, kept: bool, as_json: bool) -> None:
    """Fuzz."""
    folder = into or Path(tempfile.mkdtemp())
    rows = []
    for name in targets or TARGETS:
        rows.append(_fuzzed(name, folder, max(1, round(TARGETS[name].inputs * scale)), seed))
        if not as_json:
            click.echo(_line(rows[-1]))
        if kept and rows[-1]["held"]:
            keep(name, _small(folder / name))
    total = sum(row["inputs"] for row in rows)
    click.echo(json.dumps(rows, indent=2) if as_json else f"{total:,} inputs in all; they lie in {folder}")
    if not all(row["held"] for row in rows):
        raise SystemExit(1)


def _fuzzed(name: str, folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Fuzz one target, from what is kept of it on."""
    corpus, found = folder / name, folder / "found"
    for each in (corpus, found):
        each.mkdir(parents=True, exist_ok=True)
    for index, content in enumerate(inputs(name)):
        (corpus / f"{_KEPT}{index}").write_bytes(content)
    options = (f"-runs={count}", f"-seed={seed}", f"-artifact_prefix={found}/{name}-")
    started = time.monotonic()
    code, said = _worker(name, corpus, *options)
    status, memory = _STATUS.findall(said), re.findall(r"MEMORY (\d+)", said)
    return {
        "target": name,
        "inputs": max((int(inputs_) for inputs_, _ in status), default=0),
        "branches": int(status[-1][1]) if status else 0,
        "seconds": time.monotonic() - started,
        "mb": int(memory[-1]) if memory else 0,
        "held": code == 0,
        "said": None if code == 0 else said[-3000:],
    }


def _worker(name: str, corpus: Path, *options: str) -> tuple[int, str]:
    """Exit code and output of a worker."""
    command = [sys.executable, "-m", "fuzz.worker", name, str(corpus), *options]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "DIGITS_EDGE_CACHE": "/nonexistent"}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, check=False)
    return done.returncode, done.stdout.decode(errors="replace")


def _small(corpus: Path) -> list[bytes]:
    """What libFuzzer found and could make small, without the seeds."""
    found = [path for path in corpus.iterdir() if not path.name.startswith(_KEPT)]
    return [path.read_bytes() for path in found if path.stat().st_size <= _MAX_KEPT_BYTES]


def _line(row: dict[str, Any]) -> str:
    figures = f"{row['inputs']:>9,} inputs {row['branches']:>6,} branches {row['seconds']:>6.0f} s {row['mb']:>4} MB"
    return f"{row['target']:13}{figures}" + ("" if row["held"] else f"  FAILED\n{row['said']}")


if __name__ == "__main__":
    main()
