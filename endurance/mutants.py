"""Mutation testing of the runtime with mutmut, on a random sample of the mutants.

All 7,000 mutants would take hours on two cores. A sample estimates the share that the tests find; the output states the
95 % interval. mutmut needs the package in a folder of its name, so it works on a copy. Install it with
`pip install mutmut`.

Example: python -m endurance.mutants --sample 100
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from digits_edge.runtime.checks.accuracy import Accuracy

ROOT = Path(__file__).parents[1]
_PACKAGES = ("runtime", "measure", "train", "export", "cli")
#: Folders that the tests of the runtime import or read.
_FOLDERS = ("samples", "fuzz", "scripts")
#: Exit codes of the tests of a mutant, as mutmut records them.
_SURVIVED, _FOUND, _NO_TESTS = 0, 1, 33
_CONFIGURATION = """[mutmut]
source_paths=digits_edge/runtime
pytest_add_cli_args_test_selection=tests/runtime
# exclude tests that start an interpreter without the mutated package
pytest_add_cli_args=
    -k=not wheels and not onnxruntime
also_copy=
    digits_edge
    fuzz
    samples
    scripts
    tests
    pyproject.toml
"""


@click.command(help=__doc__)
@click.option("--sample", type=click.IntRange(1), default=400, show_default=True, help="Number of mutants.")
@click.option("--seed", type=int, default=20261121, show_default=True, help="Seed of the sample.")
@click.option("--folder", type=click.Path(path_type=Path), help="Working folder; continues an earlier run in it.")
def main(sample: int, seed: int, folder: Path | None) -> None:
    """Test a sample of the mutants and print the share that is found."""
    folder = folder or Path(tempfile.mkdtemp())
    if not (folder / "setup.cfg").exists():
        _stage(folder)
        _mutmut(
            folder, "digits_edge.runtime.session.machine*"
        )  # generates all mutants and records which tests reach them
    names = sorted(_codes(folder))
    random.Random(seed).shuffle(names)
    chosen = names[:sample]
    _mutmut(folder, *chosen)
    codes = {name: code for name, code in _codes(folder).items() if name in set(chosen) and code is not None}
    # the others timed out: an endless loop, or a test that cannot run in mutmut's forked process
    counted = {name: code for name, code in codes.items() if code in (_SURVIVED, _FOUND, _NO_TESTS)}
    missed = sorted(name for name, code in counted.items() if code != _FOUND)
    found = Accuracy(len(missed), len(counted))
    low, high = found.interval()
    click.echo("\n".join(missed))
    click.echo(
        f"{len(codes)} of {len(names)} mutants, {len(codes) - len(counted)} timed out and not counted: "
        f"{found.value:.1%} found (95 %: {low:.1%} to {high:.1%}); "
        f"{sum(code == _NO_TESTS for code in counted.values())} not reached by any test"
    )


def _stage(folder: Path) -> None:
    """Create a copy with the packages in a folder `digits_edge`."""
    ignore = shutil.ignore_patterns("__pycache__")
    for package in _PACKAGES:
        shutil.copytree(ROOT / package, folder / "digits_edge" / package, ignore=ignore)
    for name in _FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copytree(ROOT / "tests" / "runtime", folder / "tests" / "runtime")
    shutil.copy(ROOT / "tests" / "conftest.py", folder / "tests")
    project = (ROOT / "pyproject.toml").read_text()
    lines = [line if not line.startswith("addopts") else 'addopts = "-p no:xdist"' for line in project.splitlines()]
    (folder / "pyproject.toml").write_text("\n".join(lines))
    (folder / "setup.cfg").write_text(_CONFIGURATION)


def _mutmut(folder: Path, *names: str) -> None:
    environment = os.environ | {"CI": "1"}  # hypothesis then uses the same examples every time
    environment.pop("PYTHONPATH", None)
    subprocess.run(
        (sys.executable, "-m", "mutmut", "run", *names), cwd=folder, env=environment, stdout=sys.stderr, check=True
    )


def _codes(folder: Path) -> dict[str, int | None]:
    """Return the exit code of the tests by mutant; None for mutants that were not run."""
    codes: dict[str, int | None] = {}
    for record in (folder / "mutants" / "digits_edge" / "runtime").rglob("*.meta"):
        codes |= json.loads(record.read_text())["exit_code_by_key"]
    return codes


if __name__ == "__main__":
    main()
