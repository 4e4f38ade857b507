"""A file of the user that has the name of a package is named in the error."""

import subprocess
import sys
from pathlib import Path

import pytest

from digits_edge.runtime.packages import shadowing_file

PREDICT = (sys.executable, "-m", "digits_edge.cli", "predict", "none.png")


def test_installed_packages_are_not_shadowed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    assert [shadowing_file(name) for name in ("onnxruntime", "numpy", "PIL", "no_such_package")] == [None] * 4


def test_packages_in_the_first_folder_of_the_path_are_not_the_users_files(tmp_path, monkeypatch):
    (tmp_path / "other.dist-info").mkdir()
    (tmp_path / "some_package.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert shadowing_file("some_package") is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("onnxruntime.py", "session = None"),
        ("onnxruntime.py", "import no_such_module"),
        ("onnxruntime/__init__.py", ""),
        ("PIL.py", ""),
        ("numpy.py", ""),
    ],
)
def test_shadowing_file_is_named(tmp_path: Path, name: str, content: str):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(content)
    done = subprocess.run(PREDICT, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode in (3, 4)
    assert done.stderr.startswith(f"error: {file.resolve()} is imported instead of ")
    assert done.stderr.endswith("; rename it\n")
