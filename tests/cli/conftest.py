"""The command line, run in this process, on pictures and tables this project draws, with the models it ships."""

import json
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from digits_edge.cli.main import run as run_command
from digits_edge.runtime.datasets.synthetic_digits import draw_image
from digits_edge.runtime.session.precision import find_model


def heed_interrupts() -> None:
    """For a child process: a shell lets what it runs in the background ignore them, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Answer(NamedTuple):
    """What a command came to."""

    code: int
    stdout: str
    stderr: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The JSON lines of stdout."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def complaint(self) -> str:
        """The error; it must be one line, and all that is on stderr."""
        assert self.stderr.startswith("error: ") and self.stderr.count("\n") == 1, self.stderr
        return self.stderr.removeprefix("error: ").rstrip("\n")


Run = Callable[..., Answer]
WriteCsv = Callable[..., Path]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `digits-edge` with these arguments."""

    def run_here(*arguments: str | Path) -> Answer:
        capsys.readouterr()
        code = run_command([str(argument) for argument in arguments])
        return Answer(code, *capsys.readouterr())

    return run_here


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in an empty folder, so that what they leave behind is seen."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """uint8 (10, 28, 28): image d is of the digit d."""
    rng = np.random.default_rng(3)
    return np.stack([draw_image(digit, rng) for digit in range(10)])


@pytest.fixture(scope="session")
def model() -> Path:
    """The model file that is the default."""
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
    """Write a table as Kaggle does: a row of fields for each image, under a header."""

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
    """The ten digits, in order."""
    return write_csv(images.reshape(10, -1))
