"""`digits-edge serve` as a process: clients, OpenAPI description, shutdown, invalid connections and options."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from digits_edge.cli.main import run as run_command
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets.synthetic_digits import draw_image
from digits_edge.runtime.model.bundled import MODELS
from digits_edge.runtime.service.limits import Limits

from .conftest import RunningService, wait_until

HERE = Path(__file__).parent


@pytest.fixture
def images() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([draw_image(digit, rng) for digit in range(10)])


@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("binary_out", [None, False, True])
def test_triton_client_gets_predictions(
    running: RunningService, images: np.ndarray, binary_in: bool, binary_out: bool | None
) -> None:
    triton = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")
    with triton.InferenceServerClient(running.address) as client:
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("edge-int8", "1")
        metadata = client.get_model_metadata("edge-int8")
        (tensor,) = metadata["inputs"]
        sent = triton.InferInput(tensor["name"], images.shape, tensor["datatype"])
        sent.set_data_from_numpy(images, binary_data=binary_in)
        name = metadata["outputs"][0]["name"]
        outputs = None if binary_out is None else [triton.InferRequestedOutput(name, binary_data=binary_out)]
        result = client.infer("edge-int8", [sent], outputs=outputs, request_id="7")
        assert result.get_response()["id"] == "7"
        expected = Classifier("edge-int8", provider="cpu", threads=1).predict_batch(images)
        np.testing.assert_allclose(result.as_numpy(name), expected, atol=1e-6)


def test_triton_client_gets_error_messages(running: RunningService) -> None:
    triton = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")
    with triton.InferenceServerClient(running.address) as client:
        sent = triton.InferInput("image", [1, 28, 27], "UINT8")
        sent.set_data_from_numpy(np.zeros((1, 28, 27), np.uint8))
        with pytest.raises(triton.InferenceServerException, match=r"\[N, 28, 28\]"):
            client.infer("edge-int8", [sent])
        with pytest.raises(triton.InferenceServerException, match="unknown model"):
            client.get_model_metadata("nothing")


@pytest.mark.parametrize(
    "effort",
    [
        ("--max-examples", "5", "--phases", "fuzzing"),
        pytest.param(("--max-examples", "20"), marks=pytest.mark.slow),  # all phases
    ],
    ids=["few", "many"],
)
def test_every_response_matches_the_openapi_description(
    running: RunningService, tmp_path: Path, effort: tuple[str, ...]
) -> None:
    pytest.importorskip("schemathesis", reason="needs schemathesis")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run"]
    options = [*effort, "--no-color", "--seed", "1"]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": _python_path(HERE)}
    done = subprocess.run(
        [*command, f"{running.url}openapi.json", *options],
        env=environment,
        cwd=tmp_path,  # it writes its results there
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "13 selected" in done.stdout


def _python_path(folder: Path) -> str:
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def test_sigterm_stops_the_service_without_messages() -> None:
    service = RunningService("--model", "edge-int8")
    with urllib.request.urlopen(service.url + "v2/health/ready") as response:
        assert json.load(response) == {"ready": True}
    assert service.end() == 0
    assert service.process.stderr is not None and service.process.stderr.read() == ""


def workers_of(service: RunningService) -> list[psutil.Process]:
    children = psutil.Process(service.process.pid).children()
    return [child for child in children if any("spawn_main" in part for part in child.cmdline())]


def imports_asyncio(worker: psutil.Process) -> bool:
    return any("_asyncio" in mapped.path for mapped in worker.memory_maps())


def test_workers_share_the_port_and_add_up_their_metrics() -> None:
    service = RunningService("--model", "edge-int8", "--workers", "2")
    try:
        wait_until(lambda: len(workers_of(service)) == 2)
        for _ in range(8):  # each with a connection of its own
            with urllib.request.urlopen(service.url + "v2/health/ready", timeout=60) as response:
                assert json.load(response) == {"ready": True}
        with urllib.request.urlopen(service.url + "metrics") as response:
            assert 'route="/v2/health/ready",status="200"} 8.0' in response.read().decode()
        workers = workers_of(service)
        workers[0].kill()  # the other one continues, and the first one is started again
        wait_until(lambda: not workers[0].is_running() or workers[0].status() == psutil.STATUS_ZOMBIE)
        for _ in range(4):
            with urllib.request.urlopen(service.url + "v2/health/ready", timeout=60) as response:
                assert response.status == 200
    finally:
        assert service.end() == 0
    assert service.process.stderr is not None and service.process.stderr.read() == ""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs SIGINT and the maps of a process")
def test_ctrl_c_ends_starting_workers_without_messages() -> None:
    service = RunningService("--model", "edge-int8", "--workers", "2")
    wait_until(lambda: sum(imports_asyncio(worker) for worker in workers_of(service)) == 2)
    for process in (*workers_of(service), psutil.Process(service.process.pid)):  # as a terminal does
        process.send_signal(signal.SIGINT)
    assert service.process.wait(60) == 0
    assert service.process.stderr is not None and service.process.stderr.read() == ""


@pytest.mark.slow
def test_workers_end_with_their_parent() -> None:
    service = RunningService("--model", "edge-int8", "--workers", "2")
    wait_until(lambda: len(workers_of(service)) == 2)
    with urllib.request.urlopen(service.url + "v2/health/ready", timeout=60) as response:
        assert response.status == 200
    workers = workers_of(service)
    service.process.kill()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive


@pytest.mark.slow
def test_worker_that_cannot_open_its_model_ends_the_service(tmp_path: Path) -> None:
    model = tmp_path / "mine.onnx"
    shutil.copy(MODELS / "edge-int8.onnx", model)
    service = RunningService("--model", str(model), "--workers", "2")
    model.unlink()  # after the parent has opened it, and before a worker has
    assert service.process.wait(60) == 3
    assert service.process.stderr is not None
    messages = service.process.stderr.read().splitlines()
    assert sum("mine.onnx" in message for message in messages) <= 2, messages  # one line of each process
    assert messages[-1] == "error: a process of the service could not open its models; see the message before"


def test_workers_need_models_that_open(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["serve", "--port", "0", "--workers", "2", "--model", "none-int8"]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def _connect(running: RunningService) -> socket.socket:
    host, port = running.address.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)))
    connection.settimeout(Limits().body_s / 2)  # before the time limit of the service
    return connection


def test_endless_head_closes_the_connection(running: RunningService) -> None:
    with _connect(running) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        line = b"X-More: " + b"x" * 990 + b"\r\n"
        with contextlib.suppress(ConnectionError):
            for _ in range(8 * Limits().head_bytes // len(line)):
                connection.sendall(line)
        with contextlib.suppress(ConnectionError):
            assert connection.recv(1000) == b""  # TimeoutError if the connection stays open


def test_data_that_is_not_http_gets_status_400(running: RunningService) -> None:
    with _connect(running) as connection:
        connection.sendall(b"\x16\x03\x01 not HTTP\r\n\r\n")
        assert b" 400 " in connection.recv(1000)


@pytest.fixture(scope="session")
def used_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_used_port_is_a_usage_error(used_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["serve", "--port", str(used_port)]) == 2
    assert "choose another --host or --port" in capsys.readouterr().err


def test_key_file_must_contain_one_ascii_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content in (b"", b"\n", b"\xff", "schlüssel".encode(), b"two words", b"two\nlines"):
        (tmp_path / "key").write_bytes(content)
        assert run_command(["serve", "--key-file", str(tmp_path / "key")]) == 4
        message = capsys.readouterr().err
        assert message.count("\n") == 1 and str(tmp_path / "key") in message
    assert run_command(["serve", "--key-file", str(tmp_path / "none")]) == 4


def test_empty_key_in_the_environment_is_an_input_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DIGITS_EDGE_API_KEY", " ")
    assert run_command(["serve", "--port", "0"]) == 4
    assert "DIGITS_EDGE_API_KEY" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["..", "none.invalid"])
def test_invalid_host_is_a_usage_error(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["serve", "--host", host]) == 2
    assert "--host" in capsys.readouterr().err
