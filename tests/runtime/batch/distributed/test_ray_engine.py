"""`digits-edge batch-predict --engine ray`, with Ray itself."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from digits_edge.cli.main import run as run_command
from digits_edge.runtime.batch.distributed.file_system import file_system, write_file
from digits_edge.runtime.session.provider_names import available_providers
from tests.ports import free_port

from .conftest import (  # type: ignore[import-not-found]
    IMAGES,
    LABELS,
    ROWS,
    Steps,
    files_in,
    write_csv,
    write_parquet,
    write_picture,
)

#: A fixed precision: the automatic choice depends on which is faster during the tests.
MODEL = ("--model", "edge-int8")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Ray on Windows is a beta")


def with_ray(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    options = ("--quiet", "--engine", "ray", "--provider", "cpu", "--threads", 2, *MODEL)
    program = "from digits_edge.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, "batch-predict", *map(str, (*arguments, *options))],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def labels_of(folder: Path, source: Path) -> pandas.DataFrame:
    tables = [pandas.read_parquet(path) for path in sorted(folder.glob("*.parquet"))]
    table = pandas.concat(table for table in tables if "ImageId" in table)
    return table[table.File == str(source)].reset_index(drop=True)


@pytest.mark.slow
def test_every_row_and_picture_has_one_prediction_equal_to_a_local_run(archive, tmp_path):
    run = with_ray("archive", "-o", "out", cwd=tmp_path)
    assert run.returncode == 4 and run.stdout == ""
    first, damaged, last = run.stderr.splitlines()
    total = 2 * ROWS + 10
    assert re.fullmatch(rf"{total} images in \d+\.\d s by 2 × edge-int8 on cpu, \d+\.\d\d % accuracy → out", first)
    assert damaged.startswith(f"error: {archive}/pictures/damaged.png is not a picture in a supported format")
    assert last == ("error: 1 row or picture could not be read (see out/_manifest.json); the others are classified")
    for name in ("a.csv", "b.parquet"):
        local = tmp_path / "local.csv"
        options = ["-o", str(local), "--overwrite", "--provider", "cpu", *MODEL]
        assert run_command(["batch-predict", str(archive / name), *options]) == 0
        found, expected = labels_of(tmp_path / "out", archive / name), pandas.read_csv(local)
        pandas.testing.assert_frame_equal(found[["ImageId", "Label"]], expected, check_dtype=False)


@pytest.mark.slow
def test_a_finished_run_is_not_repeated(archive, tmp_path):
    """Without Ray, `test_steps.py` tests this."""
    assert with_ray("archive", "-o", "out", cwd=tmp_path).returncode == 4
    total, files = 2 * ROWS + 10, files_in(tmp_path / "out")
    again = with_ray("archive", "-o", "out", "--json", cwd=tmp_path)
    report = json.loads(again.stdout)
    assert again.returncode == 4
    assert (report["answered"], report["bad"], report["failed"], report["done_before"]) == (total, 1, 0, total + 1)
    assert files_in(tmp_path / "out") == files


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Thirty tables of 1,000 rows."""
    folder = tmp_path / "many"
    folder.mkdir()
    images = np.random.default_rng(8).integers(0, 256, (1000, 28, 28), np.uint8)
    labels = (np.arange(1000) % 10).astype(np.uint8)
    for number in range(30):
        write_parquet(folder / f"{number:02d}.parquet", np.roll(images, number, axis=0), np.roll(labels, number), 1000)
    return folder


KILL_A_PROCESS = """
import os, signal, sys
import psutil
from digits_edge.runtime.batch.distributed import predict_with_ray

def is_worker(process):
    try:
        return "MapWorker" in " ".join(process.cmdline())
    except psutil.Error:  # it has exited
        return False

def listen(done):
    if done >= 10_000 and sys.argv[1]:
        victim, sys.argv[1] = sys.argv[1], ""
        if victim == "driver":
            os.kill(os.getpid(), signal.SIGKILL)
        next(process for process in psutil.Process().children(recursive=True) if is_worker(process)).kill()
        print("killed", file=sys.__stdout__, flush=True)

report = predict_with_ray(["many"], "out", model="edge-int8", provider="cpu", actors=2, listener=listen)
print(report.manifest.counts["answered"], report.done_before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="workers are named in their command line on Linux")
def test_a_killed_worker_is_replaced(many, tmp_path):
    command = [sys.executable, "-c", KILL_A_PROCESS, "worker"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert run.stdout.split() == ["killed", "30000", "0"], run.stderr
    assert_complete(many, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the files of a killed process immediately")
def test_a_killed_run_is_resumed(many, tmp_path):
    command = [sys.executable, "-c", KILL_A_PROCESS, "driver"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=300).returncode == -9
    time.sleep(3)  # Ray's processes exit some time after the driver, and may write until then
    run = with_ray("many", "-o", "out", "--json", cwd=tmp_path)
    report = json.loads(run.stdout)
    assert (report["answered"], run.returncode) == (30_000, 0)
    assert report["done_before"] >= 10_000
    assert_complete(many, tmp_path)


def assert_complete(many: Path, folder: Path) -> None:
    """Check that each row of each table has one prediction, the expected one."""
    expected = None
    for number, path in enumerate(sorted(many.iterdir())):
        found = labels_of(folder / "out", path)
        assert found.ImageId.tolist() == list(range(1, 1001))
        expected = found.Label.to_numpy() if expected is None else expected
        np.testing.assert_array_equal(found.Label, np.roll(expected, number))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """Address of a running Ray cluster of one machine."""
    port = free_port()
    script = Path(sys.executable).with_name("ray")
    arguments = ["start", "--head", "--block", f"--port={port}", "--num-cpus=2", "--include-dashboard=false"]
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    silent: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([script, *arguments], env=environment, start_new_session=True, **silent) as process:
        try:
            wait_for(port)
            yield f"127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # SIGTERM takes half a minute


def wait_for(port: int) -> None:
    for _ in range(240):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.25)
        else:
            return
    raise AssertionError(f"nothing listens on port {port}")


@pytest.mark.slow
def test_a_cluster_is_joined(cluster, archive, tmp_path):
    run = with_ray(archive / "a.csv", "-o", "out", "--format", "csv", "--address", cluster, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    [shard] = (tmp_path / "out").glob("*.csv")
    assert len(shard.read_text().splitlines()) == ROWS + 1


def test_a_missing_cluster_is_a_one_line_error(archive, tmp_path):
    unused = f"127.0.0.1:{free_port()}"
    run = with_ray(archive / "a.csv", "-o", "out", "--address", unused, cwd=tmp_path)
    assert run.returncode == 2, run.stderr
    assert run.stderr.startswith("error: could not join a Ray cluster at 127.0.0.1:")
    assert len(run.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.csv", "b.csv", "-o", "x"], "2 sources need --engine ray; pass one source"),
        (["a.csv", "-o", "x", "--address", "h:1"], "--address applies only with --engine ray"),
        (["a.csv", "-o", "x", "--format", "csv"], "--format applies only with --engine ray"),
        (["a.csv", "-o", "x", "--engine", "ray", "--resume"], "--resume applies only with --engine local"),
        (["none", "-o", "x", "--engine", "ray"], "none could not be read: no such file or folder"),
    ],
)
def test_a_usage_error_is_one_line(tmp_path, monkeypatch, capfd, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert run_command(["batch-predict", *arguments]) in (2, 4)
    error = capfd.readouterr().err
    assert message in error and len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def object_storage() -> Iterator[str]:
    """Address of a local S3 server with a bucket."""
    boto3 = pytest.importorskip("boto3", reason="the extra dev installs it")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port)
            address = f"http://127.0.0.1:{port}"
            keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
            boto3.client("s3", endpoint_url=address, **keys).create_bucket(Bucket="bucket")
            yield address
        finally:
            process.terminate()


@pytest.mark.slow
def test_object_storage_is_read_and_written_through_arrow(object_storage, archive, tmp_path, monkeypatch):
    """fsspec needs s3fs for S3; without it, Arrow opens the URI."""
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    keys["AWS_ENDPOINT_URL"] = object_storage
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    fs, bucket = file_system("s3://bucket/archive")
    for name, content in files_in(archive).items():
        write_file(fs, f"{bucket}/{name}", content)

    run = with_ray("s3://bucket/archive", "-o", "s3://bucket/out", cwd=tmp_path, **keys)
    assert run.returncode == 4, run.stderr
    assert "error: s3://bucket/archive/pictures/damaged.png is not a picture" in run.stderr
    names = sorted(path.rpartition("/")[2] for path in fs.find("bucket/out"))
    local = Steps(archive, tmp_path / "local")
    local.run_all()
    assert sum(name.endswith(".parquet") for name in names) == 3 and "_manifest.json" in names
    manifest = json.loads(fs.cat_file("bucket/out/_manifest.json"))
    assert manifest["counts"] == json.loads((tmp_path / "local" / "_manifest.json").read_text())["counts"]
    assert manifest["sources"][0]["name"] == "s3://bucket/archive/a.csv"

    again = with_ray("s3://bucket/archive", "-o", "s3://bucket/out", "--json", cwd=tmp_path, **keys)
    assert json.loads(again.stdout)["done_before"] == 2 * ROWS + 11


def test_a_memory_file_system_is_supported(tmp_path):
    fs, folder = file_system("memory://archive")
    for write, name in ((write_csv, "a.csv"), (write_picture, "p/1.png")):
        path = tmp_path / "file.png"
        write(path, IMAGES[:10], LABELS[:10]) if write is write_csv else write(path, 1)
        write_file(fs, f"{folder}/{name}", path.read_bytes())
    steps = Steps("memory://archive", "memory://out")
    manifest = steps.run_all()
    assert manifest.counts["answered"] == 11
    assert [source.name for source in manifest.sources] == ["memory:///archive/a.csv", "memory:///archive/p"]
    assert fs.exists("/out/_manifest.json") and not fs.exists("/out/_progress")


ANOTHER_VERSION_IN_A_WORKER = """
from digits_edge.runtime.batch.distributed import ray_engine
ray_engine.version = lambda package: "0.0.1"
ray_engine.predict_with_ray(["archive/a.csv"], "out", model="edge-int8", provider="cpu", actors=1)
"""


@pytest.mark.slow
def test_the_error_of_a_worker_is_raised_without_rays_wrapper(archive, tmp_path):
    command = [sys.executable, "-c", ANOTHER_VERSION_IN_A_WORKER]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    last = run.stderr.splitlines()[-1]
    assert re.fullmatch(
        r"digits_edge\.runtime\.errors\.ModelError: a worker has digits-edge \S+, expected 0\.0\.1; .*", last
    )


@pytest.mark.slow
def test_a_gpu_provider_without_a_gpu_is_a_one_line_error(archive, tmp_path):
    if "cuda" in available_providers():
        pytest.skip("this machine may have a GPU")
    arguments = ["batch-predict", "archive/a.csv", "-o", "out", "--engine", "ray", "--provider", "cuda"]
    command = [sys.executable, "-c", "from digits_edge.cli.main import main; main()", *arguments]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert run.returncode == 3, run.stderr
    *progress, last = run.stderr.splitlines()
    assert last == "error: provider cuda needs a GPU, but Ray found none; use --provider cpu"
    assert all(line.startswith("starting Ray (") for line in progress)  # on a busy machine


def test_device_of_cuda_cannot_be_named_because_ray_distributes_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "a.csv", IMAGES[:2], LABELS[:2])
    assert run_command(["batch-predict", "a.csv", "-o", "out", "--engine", "ray", "--provider", "cuda:1"]) == 2
    assert "Ray distributes the devices of provider cuda; use --provider cuda" in capsys.readouterr().err


@pytest.mark.slow
def test_an_output_folder_in_a_source_is_not_a_source(archive, tmp_path):
    for _ in range(2):
        run = with_ray("archive", "-o", "archive/predictions", cwd=tmp_path)
        assert run.returncode == 4 and f"{2 * ROWS + 10} images" in run.stderr, run.stderr


JOIN_WITH_AND_WITHOUT_TOKEN = """
import os, subprocess, sys
from digits_edge.runtime.batch.distributed import ray_engine

JOIN = "import ray, sys; ray.init(address=sys.argv[1], logging_level=50)"
with ray_engine._ray(None, 1) as (ray, resources):
    address = ray.get_runtime_context().gcs_address
    environment = {name: value for name, value in os.environ.items() if "AUTH" not in name}
    own = subprocess.run([sys.executable, "-c", JOIN, address], env=os.environ, capture_output=True)
    other = subprocess.run([sys.executable, "-c", JOIN, address], env=environment, capture_output=True, text=True)
    print(own.returncode, other.returncode, "AuthenticationError" in other.stderr)
"""


@pytest.mark.slow
def test_a_program_without_the_token_cannot_join(tmp_path):
    """Ray's ports are open to the network, and anyone who can join can run code."""
    environment = {name: value for name, value in os.environ.items() if "AUTH" not in name}
    command = [sys.executable, "-c", JOIN_WITH_AND_WITHOUT_TOKEN]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert run.stdout.splitlines()[-1:] == ["0 1 True"], run.stdout + run.stderr


RAY_IMPORTED_BEFORE = """
import ray
from digits_edge.runtime.batch.distributed import predict_with_ray
report = predict_with_ray(["archive/a.csv"], "out", model="edge-int8", provider="cpu", actors=1)
print(report.manifest.counts["answered"])
"""


@pytest.mark.slow
def test_a_program_that_has_imported_ray_can_start_a_run(archive, tmp_path):
    environment = {name: value for name, value in os.environ.items() if "AUTH" not in name}
    command = [sys.executable, "-c", RAY_IMPORTED_BEFORE]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert run.stdout.splitlines()[-1:] == [str(ROWS)], run.stderr
