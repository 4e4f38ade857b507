"""The commands of the tutorial "A model of your own pictures", run as they are written."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.ports import free_port

pytest.importorskip("tensorflow", reason="needs the extras train and export")
pytest.importorskip("uvicorn", reason="needs the extra serve")

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "tutorial" / "own-pictures.md"


def commands() -> list[list[str]]:
    """The commands of the page, except the installation."""
    lines = re.findall(r"^\$ (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [shlex.split(line) for line in lines if not line.startswith("pip ")]


def program(command: list[str]) -> list[str]:
    """A command with this interpreter and the command line installed beside it."""
    name, *arguments = command
    return [sys.executable if name == "python" else str(Path(sys.executable).with_name(name)), *arguments]


def test_page_has_every_step_of_the_story():
    assert [command[1] for command in commands()] == [
        "-m",
        "train",
        "export",
        "verify",
        "predict",
        "batch-predict",
        "evaluate",
        "serve",
    ]


@pytest.mark.slow
def test_commands_of_the_tutorial_work_in_an_empty_folder(tmp_path: Path):
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    *steps, serve = commands()
    outputs = {}
    for command in steps:
        done = subprocess.run(program(command), cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
        outputs[command[1]] = done.stdout
    assert "ok" in outputs["verify"]
    right = [line.split()[1] == Path(line.split()[0]).parent.name for line in outputs["predict"].splitlines()]
    assert right == [True, True]
    with (tmp_path / "triangles.csv").open(newline="") as stream:
        labels = [row["Label"] for row in csv.DictReader(stream)]
    assert len(labels) == 300
    assert labels.count("triangle") > 240
    assert "circle" in (tmp_path / "shapes-report.html").read_text(encoding="utf-8")
    _check_service(tmp_path, serve, environment)


def _check_service(folder: Path, command: list[str], environment: dict[str, str]) -> None:
    """Start the service and classify a picture with it."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [*program(command), "--port", str(port)], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{address}/v2/health/ready", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, "the service did not start"
                time.sleep(0.1)  # between two tries
        model = json.load(urllib.request.urlopen(f"{address}/v2/models/cnn-small-int8", timeout=10))
        assert model["inputs"][0]["shape"] == [-1, 32, 32, 3]
        picture = (folder / "shapes" / "cross" / "0000.png").read_bytes()
        request = urllib.request.Request(f"{address}/predict", picture, {"Content-Type": "image/png"})
        assert json.load(urllib.request.urlopen(request, timeout=10))["label"] == "cross"
    finally:
        process.terminate()
        process.communicate(timeout=30)
