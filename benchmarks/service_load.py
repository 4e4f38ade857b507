"""Load test of the service: against a floor and FastAPI, with and without micro-batching, and above its limits.

    python -m benchmarks.service_load [--model edge-int8] [--part comparison|overload] [--output FILE.csv]

Requires `wrk` (Debian: apt-get install wrk), the extra serve, and FastAPI (pip install fastapi); clients and services
run on the same machine. Each request has one image.

- comparison: `digits-edge serve` with and without batching, and with two processes (`POST /v2/models/NAME/infer`,
  binary), bare Starlette that returns a constant, with one and two processes, and FastAPI with `session.run`, all on
  uvicorn, one at a time, in turn, with 1, 8 and 64 connections. The CSV has the medians of the rounds, and their
  ratio to bare Starlette with as many processes; by default it is written to benchmarks/results.
- overload: the service gets requests of 64 images at four times the rate that it can process; the client does not wait
  for responses.
"""

import argparse
import asyncio
import csv
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from digits_edge.measure.results import results_name
from digits_edge.runtime.checks.latency import percentile
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.packages import versions_of
from digits_edge.runtime.session.precision import find_model
from digits_edge.runtime.session.threads import available_threads

CONNECTIONS = (1, 8, 64)
FLOOR = "starlette constant"
OWN = "digits-edge"
_TWO = ", 2 processes"
RESULTS = Path(__file__).with_name("results")
COLUMNS = (
    "service",
    "version",
    "model",
    "connections",
    "requests_per_s",
    "lowest_per_s",
    "highest_per_s",
    "p50_us",
    "p99_us",
    "of_floor",
)
_START_S = 60
_QUIET = "--no-access-log", "--log-level", "warning"
_OVERLOAD_S = 30
_IMAGES = 64
_LUA = """
wrk.method = "POST"
wrk.path = "{path}"
{headers}
local file = io.open("{body}", "rb")
wrk.body = file:read("*all")
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('\\nJSON {{"requests": %d, "us": %d, "p50_us": %d, "p99_us": %d, "failed": %d}}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
"""


@contextmanager
def service(*options: str) -> Iterator[tuple[str, int]]:
    """Run `digits-edge serve` with the CPU provider; yields its address and process ID."""
    command = [sys.executable, "-m", "digits_edge.cli", "serve", "--provider", "cpu", "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            address = re.search(r"http://(\S+?)/", process.stderr.readline())
            assert address
            yield address.group(1), process.pid
        finally:
            process.terminate()


@dataclass(frozen=True)
class Target:
    """A running service and the request to send.

    Attributes:
        name: name in the results.
        version: names and versions of its libraries.
        address: host and port.
        script: wrk's Lua script with the request.
        floor: name of the floor with as many processes.
    """

    name: str
    version: str
    address: str
    script: Path
    floor: str = FLOOR


@contextmanager
def uvicorn_app(name: str, model: str, *options: str) -> Iterator[str]:
    """Run an application of `benchmarks.service_apps`; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--factory", f"benchmarks.service_apps:{name}", "--port", str(port)]
    environment = os.environ | {"MODEL": str(find_model(model, "cpu"))}
    with subprocess.Popen([*command, *options, *_QUIET], env=environment) as process:
        try:
            end = time.perf_counter() + _START_S
            while True:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                assert process.poll() is None and time.perf_counter() < end, f"{name} did not start"
                time.sleep(0.05)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def script(folder: Path, name: str, path: str, body: bytes, **headers: str) -> Path:
    """Write wrk's script for a request, and its body."""
    (folder / f"{name}.body").write_bytes(body)
    lines = "\n".join(f'wrk.headers["{key.replace("_", "-")}"] = "{value}"' for key, value in headers.items())
    written = folder / f"{name}.lua"
    written.write_text(_LUA.format(path=path, headers=lines, body=folder / f"{name}.body"))
    return written


def request(model: str, count: int) -> tuple[str, str, bytes]:
    """Return the path, the length of the JSON and the body of a request with reference images."""
    images = np.resize(Classifier(model, provider="cpu").golden.images, (count, 28, 28))
    tensor = {
        "name": "image",
        "datatype": "UINT8",
        "shape": images.shape,
        "parameters": {"binary_data_size": images.size},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return f"/v2/models/{model}/infer", str(len(head)), head + images.tobytes()


def run_wrk(target: Target, connections: int, seconds: int) -> dict[str, float]:
    """Run wrk; return requests per second and percentiles of the latency in µs."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(target.script), f"http://{target.address}"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    result = json.loads(output.rpartition("JSON ")[2])
    assert result["failed"] == 0, f"{target.name}: {output}"
    return {
        "requests_per_s": result["requests"] / result["us"] * 1e6,
        "p50_us": result["p50_us"],
        "p99_us": result["p99_us"],
    }


@contextmanager
def targets(model: str) -> Iterator[list[Target]]:
    """Run all services of the comparison, which are idle until they get requests."""
    [image] = Classifier(model, provider="cpu").golden.images[:1]
    path, head, body = request(model, 1)
    octets = "application/octet-stream"
    stack = ["starlette", "uvicorn"]
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        ours = script(folder, "infer", path, body, Content_Type=octets, Inference_Header_Content_Length=head)
        raw = script(folder, "raw", "/predict", image.tobytes(), Content_Type=octets)
        text = json.dumps({"images": [image.tolist()]}).encode()
        as_json = script(folder, "json", "/predict", text, Content_Type="application/json")
        found = []
        for name, options in (("", ()), (", no batching", ("--batch-size", "1")), (_TWO, ("--workers", "2"))):
            address, _ = opened.enter_context(service("--model", model, *options))
            floor = FLOOR + _TWO if name == _TWO else FLOOR
            found.append(Target(OWN + name, _versions([OWN, "onnxruntime", *stack]), address, ours, floor))
        for name, app, options, packages, lua in (
            (FLOOR, "floor", (), stack, raw),
            (FLOOR + _TWO, "floor", ("--workers", "2"), stack, raw),
            ("fastapi json", "fastapi_json", (), ["fastapi", "onnxruntime", *stack], as_json),
            ("fastapi bytes", "fastapi_bytes", (), ["fastapi", "onnxruntime", *stack], raw),
        ):
            address = opened.enter_context(uvicorn_app(app, model, *options))
            floor = name if name.startswith(FLOOR) else FLOOR
            found.append(Target(name, _versions(packages), address, lua, floor))
        yield found


def _versions(packages: Sequence[str]) -> str:
    return " + ".join(f"{name} {version}" for name, version in versions_of(packages).items())


def comparison(model: str, rounds: int, seconds: int) -> list[dict[str, object]]:
    """Measure all services in turn; print and return a row for each service and number of connections."""
    rows: list[dict[str, object]] = []
    with targets(model) as services:
        for connections in CONNECTIONS:
            results: dict[str, list[dict[str, float]]] = {target.name: [] for target in services}
            for number in range(1 + rounds):  # the first one is a warm-up
                first = number % len(services)
                for target in (*services[first:], *services[:first]):
                    results[target.name].append(run_wrk(target, connections, seconds))
            rates = {name: [each["requests_per_s"] for each in runs[1:]] for name, runs in results.items()}
            for target in services:
                runs, own = results[target.name][1:], rates[target.name]
                row = {
                    "service": target.name,
                    "version": target.version,
                    "model": model,
                    "connections": connections,
                    "requests_per_s": round(statistics.median(own), 1),
                    "lowest_per_s": round(min(own), 1),
                    "highest_per_s": round(max(own), 1),
                    "p50_us": round(statistics.median(each["p50_us"] for each in runs)),
                    "p99_us": round(statistics.median(each["p99_us"] for each in runs)),
                    "of_floor": round(statistics.median(own) / statistics.median(rates[target.floor]), 3),
                }
                print(json.dumps(row), flush=True)
                rows.append(row)
    return rows


def write_csv(rows: Sequence[dict[str, object]], path: Path) -> None:
    """Write the rows of the comparison."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    print(path)


class LoadClient:
    """Client that sends requests and records the statuses and latencies of the responses."""

    def __init__(self, address: str, model: str) -> None:
        self.host, _, port = address.rpartition(":")
        self.port = int(port)
        path, head, body = request(model, _IMAGES)
        headers = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nInference-Header-Content-Length: {head}\r\n"
        headers += f"Content-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n\r\n"
        self.message = headers.encode() + body
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.statuses: Counter[str] = Counter()
        self.us: list[float] = []

    async def send(self) -> None:
        """Send a request over an idle connection, or a new one."""
        started = time.perf_counter()
        try:
            reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection(self.host, self.port)
            writer.write(self.message)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"\r\ncontent-length: (\d+)", head)
            assert length
            await reader.readexactly(int(length.group(1)))
        except (OSError, asyncio.IncompleteReadError):  # the service closed the idle connection
            self.idle.clear()
            self.statuses["connected again"] += 1
            await self.send()
            return
        self.idle.append((reader, writer))
        status = head[9:12].decode()
        self.statuses[status] += 1
        if status == "200":
            self.us.append((time.perf_counter() - started) * 1e6)

    async def capacity(self, seconds: float) -> float:
        """Measure the responses per second with eight concurrent clients, each of which waits for its response."""
        end = time.perf_counter() + seconds

        async def send_all() -> None:
            while time.perf_counter() < end:
                await self.send()

        await asyncio.gather(*(send_all() for _ in range(8)))
        return self.statuses["200"] / seconds

    async def at_rate(self, rate: float, seconds: float) -> None:
        """Send `rate` requests per second without waiting for responses."""
        started = time.perf_counter()
        tasks: list[asyncio.Task[None]] = []
        while (passed := time.perf_counter() - started) < seconds:
            while len(tasks) < passed * rate:
                tasks.append(asyncio.create_task(self.send()))
            await asyncio.sleep(0.001)
        await asyncio.gather(*tasks)


def resident_mb(process: int) -> float:
    """Return the resident memory of a process in MB."""
    return float(psutil.Process(process).memory_info().rss) / 1e6


def overload(model: str) -> None:
    """Print results under four times the load that the service can process."""
    with service("--model", model, "--max-requests", "16") as (address, process):
        before = LoadClient(address, model)
        capacity = asyncio.run(before.capacity(5))
        memory = [resident_mb(process)]
        result = {"model": model, "images": _IMAGES, "capacity_per_s": capacity, "p50_us": percentile(before.us, 50)}
        for _ in range(3):
            client = LoadClient(address, model)
            asyncio.run(client.at_rate(4 * capacity, _OVERLOAD_S / 3))
            memory.append(resident_mb(process))
            result |= {
                "answered_per_s": client.statuses["200"] / (_OVERLOAD_S / 3),
                "statuses": client.statuses,
                "overloaded_p50_us": percentile(client.us, 50),
                "overloaded_p99_us": percentile(client.us, 99),
                "memory_mb": memory,
            }
            print(json.dumps(result))


def main() -> None:
    """Run both parts, or one."""
    parser = argparse.ArgumentParser("python -m benchmarks.service_load", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="edge-int8", help="bundled model of 28×28 pixels  [default: %(default)s]")
    parser.add_argument("--part", choices=("comparison", "overload"), help="the only part to run")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the comparison  [default: %(default)s]")
    parser.add_argument("--seconds", type=int, default=5, help="seconds of a turn  [default: %(default)s]")
    parser.add_argument("--output", type=Path, help="CSV of the comparison  [default: in benchmarks/results]")
    options = parser.parse_args()
    missing = [name for name in ("wrk",) if shutil.which(name) is None]
    missing += [name for name in ("fastapi",) if not versions_of([name])]
    if options.part != "overload":
        if missing:
            sys.exit(f"error: {' and '.join(missing)} not found; install with apt-get install wrk, pip install fastapi")
        rows = comparison(options.model, options.rounds, options.seconds)
        name = results_name("-service.csv", f"{available_threads()}threads")
        write_csv(rows, options.output or RESULTS / name)
    if options.part != "comparison":
        overload(options.model)


if __name__ == "__main__":
    main()
