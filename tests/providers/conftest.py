"""Fixtures of the tests that run on an accelerator: the provider, model files of both precisions, and commands.

The environment variable DIGITS_EDGE_TEST_PROVIDER names the provider, such as "webgpu" or "cuda"; without it the tests
are skipped. `.ci/run` runs them with WebGPU on SwiftShader, the software device of Chromium. Nothing is timed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.errors import ProviderError
from digits_edge.runtime.model.bundled import MODELS

ENVIRONMENT = "DIGITS_EDGE_TEST_PROVIDER"
#: Part of the message of WebGPU devices without 16-bit arithmetic, such as SwiftShader.
NO_HALF = "requires f16 but the device does not support it"


class Result(NamedTuple):
    """Exit code and output of a command."""

    code: int
    stdout: str
    stderr: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """JSON objects on stdout, one per line."""
        return [json.loads(line) for line in self.stdout.splitlines()]


@pytest.fixture(scope="session")
def provider() -> str:
    """Short name of the provider under test."""
    name = os.environ.get(ENVIRONMENT)
    if not name:
        pytest.skip(f"set {ENVIRONMENT} to a provider, such as webgpu or cuda: docs/reference/providers.md")
    return name


@pytest.fixture(scope="session", params=["fp32", "fp16"])
def digits(request: pytest.FixtureRequest, provider: str, make_once: Callable[..., Path]) -> Path:
    """A model file of digits with convolutions, in both precisions; fp16 is skipped if the device lacks it."""
    source = MODELS / "edge-fp32.onnx"
    return source if request.param == "fp32" else runnable(half_of(source, make_once), provider)


@pytest.fixture(scope="session")
def filter_model(make_once: Callable[..., Path]) -> Path:
    """A small model file of colour photographs, 32×32×3, with the classes tomato, leaf and sky: red, green and blue."""
    pytest.importorskip("onnx", reason="building a model needs onnx")
    from tests.other_models import write_filters

    return make_once("filters-fp32.onnx", write_filters)


@pytest.fixture(scope="session", params=["fp32", "fp16"])
def filters(request: pytest.FixtureRequest, provider: str, filter_model: Path, make_once: Callable[..., Path]) -> Path:
    """A small model file of colour filters, in both precisions."""
    return filter_model if request.param == "fp32" else runnable(half_of(filter_model, make_once), provider)


def half_of(source: Path, make_once: Callable[..., Path]) -> Path:
    """The fp16 form of a model file."""
    pytest.importorskip("onnx", reason="building a model needs onnx")
    from tests.other_models import write_half

    return make_once(source.name.replace("fp32", "fp16"), lambda path: write_half(path, source))


def runnable(path: Path, provider: str) -> Path:
    """Skip the test if the device has no 16-bit arithmetic; any other error is raised."""
    try:
        Classifier(path, provider=provider).close()
    except ProviderError as error:
        if NO_HALF not in str(error):
            raise
        pytest.skip(str(error))
    return path


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Result]:
    """Run `digits-edge` as a process in an empty folder."""

    def run(*arguments: str | Path) -> Result:
        line = [sys.executable, "-m", "digits_edge.cli", *map(str, arguments), "--quiet"]
        done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, timeout=300)
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def colours() -> np.ndarray:
    """Photographs, uint8 (6, 32, 32, 3), in which the classes 0, 1, 2, 0, 1, 2 are the strongest colour."""
    images = np.full((6, 32, 32, 3), 20, np.uint8)
    for index in range(6):
        images[index, ..., index % 3] = 120 + 10 * index
    return images
