"""Load test of the service, with and without micro-batching, and above its limits.

    python -m benchmarks.service_load [--model edge-int8]

Requires `wrk` (Debian: apt-get install wrk) and the extra serve; clients and service run on the same machine. The first
part compares two services, one with and one without batching, round-robin, with 1, 8 and 64 connections; each request
has one image as a binary tensor. The second part measures a service that gets requests of 64 images at four times the
rate that it can process; the client does not wait for responses.
"""

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from digits_edge.runtime.checks.latency import percentile
from digits_edge.runtime.classifier import Classifier

CONNECTIONS = (1, 8, 64)
ROUNDS = 3
SECONDS = 5
_OVERLOAD_S = 30
_IMAGES = 64
_LUA = """
wrk.method = "POST"
wrk.path = "{path}"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.headers["Inference-Header-Content-Length"] = "{head}"
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


def run_wrk(address: str, script: Path, connections: int) -> dict[str, float]:
    """Run wrk; return requests per second and percentiles of the latency in µs."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "-s", str(script), f"http://{address}"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    result = json.loads(output.rpartition("JSON ")[2])
    assert result["failed"] == 0, output
    return {
        "requests_per_s": result["requests"] / result["us"] * 1e6,
        "p50_us": result["p50_us"],
        "p99_us": result["p99_us"],
    }


def with_and_without_batching(model: str, script: Path) -> None:
    """Print the throughput and latency with and without batching, one JSON object per line."""
    with service("--model", model) as (batching, _), service("--model", model, "--batch-size", "1") as (single, _):
        for connections in CONNECTIONS:
            rounds: dict[str, list[dict[str, float]]] = {batching: [], single: []}
            for _ in range(1 + ROUNDS):  # the first one is a warm-up
                for address, results in rounds.items():
                    results.append(run_wrk(address, script, connections))
            for address, results in rounds.items():
                medians = {key: statistics.median(result[key] for result in results[1:]) for key in results[0]}
                print(
                    json.dumps({"model": model, "batching": address == batching, "connections": connections} | medians)
                )


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
    """Run both parts."""
    parser = argparse.ArgumentParser("python -m benchmarks.service_load", description=__doc__)
    parser.add_argument("--model", default="edge-int8")
    model = parser.parse_args().model
    with tempfile.TemporaryDirectory() as folder:
        path, head, content = request(model, 1)
        body, script = Path(folder, "body"), Path(folder, "request.lua")
        body.write_bytes(content)
        script.write_text(_LUA.format(path=path, head=head, body=body))
        with_and_without_batching(model, script)
    overload(model)


if __name__ == "__main__":
    main()
