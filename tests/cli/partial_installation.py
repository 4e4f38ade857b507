"""A Python environment like this one without some of its packages, for tests of missing extras."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackagePath, distributions
from pathlib import Path

import digits_edge.cli
import digits_edge.runtime

Command = Callable[..., subprocess.CompletedProcess[str]]


def installation(folder: Path, *, without: tuple[str, ...] = (), only: tuple[str, ...] | None = None) -> Command:
    """Link the installed packages into a folder, and return a function that runs `digits-edge` with them only.

    Args:
        folder: an empty folder.
        without: distributions to omit.
        only: distributions to link; None for all.
    """
    for name, paths in _installed():
        if name == "digits-edge" or (name not in without and (only is None or name in only)):
            for path in paths:
                _link(folder / path.name, path)
    (folder / "digits_edge").mkdir()
    for package in ("cli", "export", "measure", "runtime", "train"):
        parent = Path(digits_edge.runtime.__file__).parent.parent
        _link(folder / "digits_edge" / package, parent / package)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        program = f"import sys; sys.path.insert(0, {str(folder)!r}); from digits_edge.cli.main import main; main()"
        return subprocess.run(
            [sys.executable, "-I", "-S", "-c", program, "--quiet", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=folder,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )

    return run


@cache
def _installed() -> list[tuple[str, list[Path]]]:
    """Installed distributions and their files and folders in site-packages; of digits-edge only its metadata."""
    found = []
    for each in distributions():
        name = re.sub(r"[-_.]+", "-", each.metadata["Name"]).lower()
        if name != "digits-edge":
            tops = {Path(file).parts[0] for file in each.files or [] if not _is_outside(file)}
            found.append((name, [Path(str(each.locate_file(top))) for top in tops]))
    for own in distributions(name="digits-edge"):  # a source folder may have a digits_edge.egg-info besides
        found.append(("digits-edge", list(Path(str(own.locate_file(""))).glob("digits_edge-*.dist-info"))))
    return found


def _is_outside(file: PackagePath) -> bool:
    """Whether a file is not in site-packages, such as a script."""
    return file.parts[0] in ("..", "__pycache__") or file.is_absolute()


def _link(link: Path, target: Path) -> None:
    if not link.exists() and target.exists():
        link.symlink_to(target)
