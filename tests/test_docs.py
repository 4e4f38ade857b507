"""Links and paths in the documents exist, and generated parts are up to date."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        ROOT / "SECURITY.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
)
PACKAGES = ("runtime", "train", "measure", "export", "cli")
FOLDERS = (
    *PACKAGES,
    *("tests", "benchmarks", "fuzz", "endurance", "scripts", "model_sources"),
    *("build_backend", "docs", "samples", ".ci", ".github"),
)
README_TABLE = ROOT / ".ci" / "readme_table.py"


def code(text):
    """The texts in backticks."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)


def name_of(document):
    return document.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_local_links_exist(document):
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))
    local = [link.partition("#")[0] for link in links if not link.startswith(("http:", "https:", "mailto:", "#"))]
    assert [link for link in local if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_files_in_backticks_exist(document):
    paths = re.compile(rf"(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./-]*")
    named = [path for path in code(document.read_text(encoding="utf-8")) if paths.fullmatch(path)]
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_architecture_lists_the_packages_and_modules():
    pytest.importorskip("grimp", reason="needs the extra [dev]")
    command = [sys.executable, "-m", "scripts.architecture", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_table_of_models_in_the_readme_is_the_models():
    if "<!-- models -->" not in (ROOT / "README.md").read_text(encoding="utf-8"):
        pytest.skip("the README has no table yet")
    done = subprocess.run([sys.executable, README_TABLE, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
