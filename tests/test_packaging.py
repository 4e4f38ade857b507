"""The wheel contains the files of the source tree, and the models match their index."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest

from digits_edge.runtime.model.bundled import bundled_models

ROOT = Path(__file__).parents[1]
PACKAGES = ("train", "export", "measure", "runtime", "cli")
MODELS = ROOT / "runtime" / "models"
MAX_MODELS_BYTES = 12_000_000
NOT_COPIED = shutil.ignore_patterns(".*", "build", "dist", "runs", "__pycache__", "node_modules", "*.egg-info")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The opened wheel, built from a copy: setuptools writes to the source tree and packs leftovers of old builds."""
    pytest.importorskip("build", reason="needs the extra [dev]")
    copy, target = tmp_path_factory.mktemp("copy") / "digits-edge", tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    with ZipFile(next(target.glob("*.whl"))) as archive:
        yield archive


def changelog_version():
    return re.search(r"^## \[?(\d[^\s\]]*)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[1]


def test_wheel_contains_the_packages_and_nothing_else(wheel):
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    files += [ROOT / package / "py.typed" for package in PACKAGES]
    files += [
        *MODELS.glob("*.onnx"),
        MODELS / "index.json",
        MODELS / "NOTICE.txt",
        *(ROOT / "train/report/templates").iterdir(),
        *(path for path in (ROOT / "runtime/service/page").iterdir() if path.suffix not in (".py", "")),
        *(ROOT / "export/targets/browser").glob("*.js"),
        ROOT / "export/targets/onnxruntime_web_licence.txt",
        ROOT / "train/data/handwriting_fonts.json",
    ]
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == {f"digits_edge/{path.relative_to(ROOT).as_posix()}" for path in files}


def test_wheel_contains_the_licence_and_the_command(wheel):
    about = f"digits_edge-{version('digits-edge')}.dist-info"
    assert wheel.read(f"{about}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert "digits-edge = digits_edge.cli.main:main" in wheel.read(f"{about}/entry_points.txt").decode()


def test_models_in_the_wheel_match_the_checksums_of_its_index(wheel):
    folder = "digits_edge/runtime/models"
    entries = json.loads(wheel.read(f"{folder}/index.json"))["models"]
    assert entries
    for entry in entries:
        content = wheel.read(f"{folder}/{entry['file']}")
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (entry["sha256"], entry["bytes"])


def test_index_has_the_checksums_of_the_model_files():
    entries = json.loads((MODELS / "index.json").read_text(encoding="utf-8"))["models"]
    checksums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in MODELS.glob("*.onnx")}
    assert {entry["file"]: entry["sha256"] for entry in entries} == checksums
    assert [entry["default"] for entry in entries].count(True) == 1


def test_models_are_small():
    assert sum(path.stat().st_size for path in MODELS.glob("*.onnx")) < MAX_MODELS_BYTES


def test_version_is_consistent():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == version("digits-edge") == changelog_version()


def test_bundling_a_bundled_model_gives_the_same_entry(tmp_path):
    model = next(model for model in bundled_models() if model.default)
    (tmp_path / "index.json").write_text('{"schema_version": 1, "models": []}')
    command = [sys.executable, "-m", "scripts.bundle_model", str(MODELS / model.file), "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert bundled_models(tmp_path) == [model]


def test_file_that_is_not_a_model_is_not_bundled(tmp_path):
    (tmp_path / "index.json").write_text('{"schema_version": 1, "models": []}')
    (tmp_path / "mine.onnx").write_text("not a model")
    command = [sys.executable, "-m", "scripts.bundle_model", str(tmp_path / "mine.onnx")]
    done = subprocess.run([*command, "--folder", str(tmp_path)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert bundled_models(tmp_path) == []
