"""How many small faults, put into the runtime one at a time, its tests find: mutmut, on a random sample of the mutants.

All 7,000 would take hours on two cores; of a sample the share is known to a few points, which the interval states.
mutmut wants the package where its name says, so that it works on a copy. Install it beside the others: `pip install
mutmut`.
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
_ROOMS = ("runtime", "train", "export", "cli")
#: Of mutmut: what a mutant's tests ended with.
_SURVIVED, _FOUND, _NO_TESTS = 0, 1, 33
_CONFIGURATION = """[mutmut]
source_paths=digits_edge/runtime
pytest_add_cli_args_test_selection=tests/runtime
# those that start an interpreter without the mutated package
pytest_add_cli_args=
    -k=not wheels and not onnxruntime
also_copy=
    digits_edge
    samples
    tests
    pyproject.toml
"""


@click.command(help=__doc__)
@click.option("--sample", type=click.IntRange(1), default=400, show_default=True, help="How many mutants.")
@click.option("--seed", type=int, default=20261121, show_default=True, help="Of the sample.")
@click.option("--folder", type=click.Path(path_type=Path), help="Work here, and go on with what is there.")
def main(sample: int, seed: int, folder: Path | None) -> None:
    """Mutate."""
    folder = folder or Path(tempfile.mkdtemp())
    if not (folder / "setup.cfg").exists():
        _stage(folder)
        _mutmut(folder, "digits_edge.runtime.session.machine*")  # makes all mutants, and learns which tests reach them
    names = sorted(_codes(folder))
    random.Random(seed).shuffle(names)
    chosen = names[:sample]
    _mutmut(folder, *chosen)
    codes = {name: code for name, code in _codes(folder).items() if name in set(chosen) and code is not None}
    # others ran out of time: a loop without end, or a test that cannot be run in mutmut's forked process
    judged = {name: code for name, code in codes.items() if code in (_SURVIVED, _FOUND, _NO_TESTS)}
    missed = sorted(name for name, code in judged.items() if code != _FOUND)
    found = Accuracy(len(missed), len(judged))
    low, high = found.interval()
    click.echo("\n".join(missed))
    click.echo(
        f"{len(codes)} of {len(names)} mutants, {len(codes) - len(judged)} out of time and not counted: "
        f"{found.value:.1%} found (95 %: {low:.1%} to {high:.1%}); "
        f"{sum(code == _NO_TESTS for code in judged.values())} that no test reaches"
    )


def _stage(folder: Path) -> None:
    """A copy in which the package lies where its name says."""
    for room in _ROOMS:
        shutil.copytree(ROOT / room, folder / "digits_edge" / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "samples", folder / "samples")
    shutil.copytree(ROOT / "tests" / "runtime", folder / "tests" / "runtime")
    shutil.copy(ROOT / "tests" / "conftest.py", folder / "tests")
    project = (ROOT / "pyproject.toml").read_text()
    lines = [line if not line.startswith("addopts") else 'addopts = "-p no:xdist"' for line in project.splitlines()]
    (folder / "pyproject.toml").write_text("\n".join(lines))
    (folder / "setup.cfg").write_text(_CONFIGURATION)


def _mutmut(folder: Path, *names: str) -> None:
    environment = os.environ | {"CI": "1"}  # the same examples every time
    environment.pop("PYTHONPATH", None)
    subprocess.run(
        (sys.executable, "-m", "mutmut", "run", *names), cwd=folder, env=environment, stdout=sys.stderr, check=True
    )


def _codes(folder: Path) -> dict[str, int | None]:
    """What the tests of each mutant ended with; None of those that were not run."""
    codes: dict[str, int | None] = {}
    for about in (folder / "mutants" / "digits_edge" / "runtime").rglob("*.meta"):
        codes |= json.loads(about.read_text())["exit_code_by_key"]
    return codes


if __name__ == "__main__":
    main()
