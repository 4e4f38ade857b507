"""`digits-edge serve` as a process: its clients, its specification, its end, connections that never ask."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from digits_edge.cli.main import run as run_command
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets.synthetic_digits import draw_image
from digits_edge.runtime.service.limits import Limits

from .conftest import RunningService

HERE = Path(__file__).parent


@pytest.fixture
def images() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([draw_image(digit, rng) for digit in range(10)])


@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("binary_out", [None, False, True])
def test_tritons_client_works(
    running: RunningService, images: np.ndarray, binary_in: bool, binary_out: bool | None
) -> None:
    triton = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")
    with triton.InferenceServerClient(running.address) as client:
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("edge-int8", "1")
        described = client.get_model_metadata("edge-int8")
        (tensor,) = described["inputs"]
        sent = triton.InferInput(tensor["name"], images.shape, tensor["datatype"])
        sent.set_data_from_numpy(images, binary_data=binary_in)
        name = described["outputs"][0]["name"]
        wanted = None if binary_out is None else [triton.InferRequestedOutput(name, binary_data=binary_out)]
        answer = client.infer("edge-int8", [sent], outputs=wanted, request_id="7")
        assert answer.get_response()["id"] == "7"
        expected = Classifier("edge-int8", provider="cpu", threads=1).predict_batch(images)
        np.testing.assert_allclose(answer.as_numpy(name), expected, atol=1e-6)


def test_tritons_client_hears_what_is_wrong(running: RunningService) -> None:
    triton = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")
    with triton.InferenceServerClient(running.address) as client:
        sent = triton.InferInput("image", [1, 28, 27], "UINT8")
        sent.set_data_from_numpy(np.zeros((1, 28, 27), np.uint8))
        with pytest.raises(triton.InferenceServerException, match=r"\[N, 28, 28\]"):
            client.infer("edge-int8", [sent])
        with pytest.raises(triton.InferenceServerException, match="no model is called"):
            client.get_model_metadata("nothing")


def test_every_answer_is_one_that_the_specification_describes(running: RunningService, tmp_path: Path) -> None:
    pytest.importorskip("schemathesis", reason="needs schemathesis")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run"]
    options = ["--max-examples", "20", "--no-color", "--seed", "1"]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": _with(HERE)}
    found = subprocess.run(
        [*command, f"{running.url}openapi.json", *options],
        env=environment,
        cwd=tmp_path,  # it leaves what it found there
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "12 selected" in found.stdout


def _with(folder: Path) -> str:
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def test_it_ends_in_order(images: np.ndarray) -> None:
    service = RunningService("--model", "edge-int8")
    with urllib.request.urlopen(service.url + "v2/health/ready") as answer:
        assert json.load(answer) == {"ready": True}
    assert service.end() == 0
    assert service.process.stderr is not None and service.process.stderr.read() == ""


def _connected(running: RunningService) -> socket.socket:
    host, port = running.address.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)))
    connection.settimeout(10)
    return connection


def test_a_head_without_an_end_is_cut(running: RunningService) -> None:
    with _connected(running) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        line = b"X-More: " + b"x" * 990 + b"\r\n"
        sent = 0
        with contextlib.suppress(OSError):  # reset or broken pipe, as the kernel likes
            while sent < 8 * Limits().head_bytes:
                connection.sendall(line)
                sent += len(line)
                time.sleep(0.001)
        assert sent < 8 * Limits().head_bytes


def test_no_http_is_refused(running: RunningService) -> None:
    with _connected(running) as connection:
        connection.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        assert b" 400 " in connection.recv(1000)


@pytest.fixture(scope="module")
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_that_is_taken_is_one_line(taken_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["serve", "--port", str(taken_port)]) == 2
    assert "--port" in capsys.readouterr().err


def test_a_key_file_has_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content in (b"", b"\n", b"\xff", "schlüssel".encode(), b"two words", b"two\nlines"):
        (tmp_path / "key").write_bytes(content)
        assert run_command(["serve", "--key-file", str(tmp_path / "key")]) == 4
        assert capsys.readouterr().err.count("\n") == 1
    assert run_command(["serve", "--key-file", str(tmp_path / "none")]) == 4


def test_an_empty_key_is_no_key_at_all(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DIGITS_EDGE_API_KEY", " ")
    assert run_command(["serve", "--port", "0"]) == 4
    assert "DIGITS_EDGE_API_KEY" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["..", "none.invalid"])
def test_a_host_that_is_none_is_one_line(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["serve", "--host", host]) == 2
    assert "--host" in capsys.readouterr().err
