"""Fixtures of the command-line tests: commands run in this process, on synthetic digits and bundled models."""

import json
import shutil
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from digits_edge.cli import output
from digits_edge.cli.main import run as run_command
from digits_edge.runtime.datasets.synthetic_digits import draw_image
from digits_edge.runtime.session.precision import find_model


def enable_interrupts() -> None:
    """Enable SIGINT in a child process; background jobs of a shell ignore it, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Result(NamedTuple):
    """Exit code and output of a command."""

    code: int
    stdout: str
    stderr: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """JSON objects on stdout, one per line."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def error(self) -> str:
        """The error message; asserts that it is the only line on stderr."""
        assert self.stderr.startswith("error: ") and self.stderr.count("\n") == 1, self.stderr
        return self.stderr.removeprefix("error: ").rstrip("\n")


Run = Callable[..., Result]
WriteCsv = Callable[..., Path]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `digits-edge` with the given arguments."""

    def run_here(*arguments: str | Path) -> Result:
        capsys.readouterr()
        code = run_command([str(argument) for argument in arguments])
        return Result(code, *capsys.readouterr())

    return run_here


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in an empty folder, so that leftover files are detected."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _no_lines_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the lines of long work out of stderr, however slow the machine is."""
    monkeypatch.setattr(output, "SILENCE_S", 1e6)


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Ten images, uint8 (10, 28, 28); image d shows the digit d."""
    rng = np.random.default_rng(3)
    return np.stack([draw_image(digit, rng) for digit in range(10)])


@pytest.fixture(scope="session")
def drawn(make_once: Callable[..., Path]) -> Path:
    """300 synthetic digits, 100 drawings in three positions, as an .npz file: 200 to train, 100 to test."""
    labels = (np.arange(300) % 10).astype(np.uint8)

    def write(path: Path) -> None:
        rng = np.random.default_rng(11)
        once = np.stack([draw_image(int(label), rng) for label in labels[:100]])
        images = np.concatenate([np.roll(once, columns, axis=2) for columns in (1, -1, 0)])
        with path.open("wb") as stream:
            np.savez(stream, x_train=images[:200], y_train=labels[:200], x_test=images[200:], y_test=labels[200:])

    return make_once("drawn.npz", write)


def copy_with_rule(run_folder: Path, target: Path, rule: str) -> None:
    """Copy a run folder as if it had been trained with another validation rule."""
    shutil.copytree(run_folder, target)
    record = json.loads((target / "recipe.json").read_text("utf-8"))
    assert record["recipe"]["validation"] == record["data"]["validation"] != rule
    record["recipe"]["validation"] = record["data"]["validation"] = rule
    (target / "recipe.json").write_text(json.dumps(record), "utf-8")


@pytest.fixture(scope="session")
def model() -> Path:
    """Path of the default model."""
    return find_model(None, "cpu")


@pytest.fixture
def seven(tmp_path: Path, images: np.ndarray) -> Path:
    """A picture of a 7, dark on light."""
    path = tmp_path / "seven.png"
    Image.fromarray(255 - images[7]).resize((112, 112)).save(path)
    return path


@pytest.fixture
def blank(tmp_path: Path) -> Path:
    """A picture of an empty page."""
    path = tmp_path / "blank.png"
    Image.new("L", (120, 90), 250).save(path)
    return path


@pytest.fixture
def write_csv(tmp_path: Path) -> WriteCsv:
    """Write a CSV in Kaggle's format: a header and one row per image."""

    def write(
        rows: Iterable[Iterable[object]], name: str = "test.csv", *, columns: Iterable[str] | None = None
    ) -> Path:
        columns = columns or [f"pixel{index}" for index in range(784)]
        path = tmp_path / name
        path.write_text("\n".join(",".join(map(str, row)) for row in [columns, *rows]) + "\n")
        return path

    return write


@pytest.fixture
def digits_csv(images: np.ndarray, write_csv: WriteCsv) -> Path:
    """A CSV with the ten digits in order."""
    return write_csv(images.reshape(10, -1))
