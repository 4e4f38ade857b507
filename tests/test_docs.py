"""What the documents name exists, and what exists is named."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from digits_edge.cli.main import COMMANDS

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
ARCHITECTURE = ROOT / "docs" / "architecture.md"
ROOMS = ("runtime", "train", "export", "cli")
FOLDERS = (
    *ROOMS,
    *("tests", "benchmarks", "fuzz", "endurance", "scripts", "model_sources"),
    *("build_backend", "docs", "samples", ".ci", ".github"),
)
README_TABLE = ROOT / ".ci" / "readme_table.py"


def code(text):
    """What stands in backticks within a line."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)


def name_of(document):
    return document.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))
    local = [link.partition("#")[0] for link in links if not link.startswith(("http:", "https:", "mailto:", "#"))]
    assert [link for link in local if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_files_in_backticks_exist(document):
    paths = re.compile(rf"(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./-]*")
    named = [path for path in code(document.read_text(encoding="utf-8")) if paths.fullmatch(path)]
    assert [path for path in named if not (ROOT / path).exists()] == []


def named_in_architecture():
    """Room → the names in backticks in its section."""
    text = ARCHITECTURE.read_text(encoding="utf-8")
    sections = {section.partition("/")[0]: section for section in text.split("\n## ")[1:]}
    return {room: {name for name in code(sections[room]) if name.endswith((".py", "/"))} for room in ROOMS}


@pytest.mark.parametrize("room", ROOMS)
def test_architecture_names_every_file(room):
    """By its name, or by its folder's where that is one thing; commands are named by the table in `cli/main.py`."""
    named = named_in_architecture()[room]
    if room == "cli":
        named |= {f"{command.replace('-', '_')}.py" for command in COMMANDS}
    files = [path.relative_to(ROOT / room) for path in (ROOT / room).rglob("*.py") if path.name != "__init__.py"]
    assert sorted(file.as_posix() for file in files if not {str(file), f"{file.parts[0]}/"} & named) == []


@pytest.mark.parametrize("room", ROOMS)
def test_architecture_names_only_files_that_exist(room):
    named = named_in_architecture()[room]
    assert sorted(name for name in named if not (ROOT / room / name).exists() and not (ROOT / name).exists()) == []


def test_table_of_models_in_the_readme_is_the_models():
    if "<!-- models -->" not in (ROOT / "README.md").read_text(encoding="utf-8"):
        pytest.skip("the README has no table yet")
    done = subprocess.run([sys.executable, README_TABLE, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
