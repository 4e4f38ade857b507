"""The texts of the project use plain technical English: no phrase of tests/data/words.txt is in them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WORDS = ROOT / "tests" / "data" / "words.txt"
PHRASES = [line for line in WORDS.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
FOLDERS = (
    *("runtime", "export", "measure", "train", "cli", "tests", "benchmarks", "fuzz", "endurance", "scripts"),
    *("docs", "samples", "build_backend", ".ci", ".github"),
)
ENDINGS = {".py", ".md", ".html", ".js", ".mjs", ".css", ".yml", ".yaml", ".toml", ".txt", ".cff", ".sh", ""}


def texts() -> list[Path]:
    """Every file of the project that a person reads."""
    top = [path for path in ROOT.iterdir() if path.is_file() and not path.name.startswith(".git")]
    below = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    generated = {ROOT / "uv.lock", ROOT / "package-lock.json", WORDS}
    return [
        path
        for path in (*top, *below)
        if path.suffix in ENDINGS
        and path not in generated
        and not {"__pycache__", "corpus", "_build", "results"} & set(path.relative_to(ROOT).parts)
    ]


def test_there_are_phrases_and_texts():
    assert len(PHRASES) >= 15
    assert len(texts()) > 300


@pytest.mark.parametrize("phrase", PHRASES)
def test_no_text_has_the_phrase(phrase):
    pattern = re.compile(phrase, re.IGNORECASE)
    found = []
    for path in texts():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT).as_posix()}:{number}: {line.strip()}")
    assert found == []
