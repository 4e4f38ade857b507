"""The service under load from another process of this machine: with and without micro-batching, and beyond its limits.

    python -m benchmarks.service_load [--model edge-int8]

Needs `wrk` (Debian: apt-get install wrk) and the extra serve. Two services, one that batches and one that does not,
take turns at 1, 8 and 64 connections; each request is one image as a binary tensor. Then a service with few requests in
flight is asked for four times what it can answer, 64 images a request, by a clock that does not wait for answers.
"""

import argparse
import asyncio
import json
import os
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
    """`digits-edge serve` on the CPU provider: its address and process."""
    command = [sys.executable, "-m", "digits_edge.cli", "serve", "--provider", "cpu", "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            found = re.search(r"http://(\S+?)/", process.stderr.readline())
            assert found
            yield found.group(1), process.pid
        finally:
            process.terminate()


def request(model: str, count: int) -> tuple[str, str, bytes]:
    """Path, length of the JSON, and body of a request with reference images."""
    images = np.resize(Classifier(model, provider="cpu").golden.images, (count, 28, 28))
    tensor = {
        "name": "image",
        "datatype": "UINT8",
        "shape": images.shape,
        "parameters": {"binary_data_size": images.size},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return f"/v2/models/{model}/infer", str(len(head)), head + images.tobytes()


def under_wrk(address: str, script: Path, connections: int) -> dict[str, float]:
    """Requests a second, and percentiles of their times."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "-s", str(script), f"http://{address}"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(shown.rpartition("JSON ")[2])
    assert found["failed"] == 0, shown
    return {
        "requests_per_s": found["requests"] / found["us"] * 1e6,
        "p50_us": found["p50_us"],
        "p99_us": found["p99_us"],
    }


def with_and_without_batching(model: str, script: Path) -> None:
    """Print the table."""
    with service("--model", model) as (batching, _), service("--model", model, "--batch-size", "1") as (single, _):
        for connections in CONNECTIONS:
            rounds: dict[str, list[dict[str, float]]] = {batching: [], single: []}
            for _ in range(1 + ROUNDS):  # the first warms up
                for address, found in rounds.items():
                    found.append(under_wrk(address, script, connections))
            for address, found in rounds.items():
                medians = {key: statistics.median(round[key] for round in found[1:]) for key in found[0]}
                print(
                    json.dumps({"model": model, "batching": address == batching, "connections": connections} | medians)
                )


class Asked:
    """Requests sent by the clock: what came back, and how soon."""

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

    async def once(self) -> None:
        """Ask once, over a connection that nobody uses."""
        started = time.perf_counter()
        try:
            reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection(self.host, self.port)
            writer.write(self.message)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"\r\ncontent-length: (\d+)", head)
            assert length
            await reader.readexactly(int(length.group(1)))
        except (OSError, asyncio.IncompleteReadError):  # closed while nobody used it, as any client finds it
            self.idle.clear()
            self.statuses["connected again"] += 1
            await self.once()
            return
        self.idle.append((reader, writer))
        status = head[9:12].decode()
        self.statuses[status] += 1
        if status == "200":
            self.us.append((time.perf_counter() - started) * 1e6)

    async def capacity(self, seconds: float) -> float:
        """Answers a second that eight askers get who wait for each answer."""
        end = time.perf_counter() + seconds

        async def ask() -> None:
            while time.perf_counter() < end:
                await self.once()

        await asyncio.gather(*(ask() for _ in range(8)))
        return self.statuses["200"] / seconds

    async def by_the_clock(self, rate: float, seconds: float) -> None:
        """Ask so many times a second, whether there are answers or not."""
        started = time.perf_counter()
        asked: list[asyncio.Task[None]] = []
        while (passed := time.perf_counter() - started) < seconds:
            while len(asked) < passed * rate:
                asked.append(asyncio.create_task(self.once()))
            await asyncio.sleep(0.001)
        await asyncio.gather(*asked)


def resident_mb(process: int) -> float:
    """Memory of a process."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def overload(model: str) -> None:
    """Print what comes of four times what the service can serve."""
    with service("--model", model, "--max-requests", "16") as (address, process):
        before = Asked(address, model)
        capacity = asyncio.run(before.capacity(5))
        memory = [resident_mb(process)]
        shown = {"model": model, "images": _IMAGES, "capacity_per_s": capacity, "p50_us": percentile(before.us, 50)}
        for _ in range(3):
            asked = Asked(address, model)
            asyncio.run(asked.by_the_clock(4 * capacity, _OVERLOAD_S / 3))
            memory.append(resident_mb(process))
            shown |= {
                "answered_per_s": asked.statuses["200"] / (_OVERLOAD_S / 3),
                "statuses": asked.statuses,
                "overloaded_p50_us": percentile(asked.us, 50),
                "overloaded_p99_us": percentile(asked.us, 99),
                "memory_mb": memory,
            }
            print(json.dumps(shown))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser("python -m benchmarks.service_load", description=__doc__)
    parser.add_argument("--model", default="edge-int8")
    model = parser.parse_args().model
    with tempfile.TemporaryDirectory() as folder:
        path, head, content = request(model, 1)
        body, script = Path(folder, "body"), Path(folder, "ask.lua")
        body.write_bytes(content)
        script.write_text(_LUA.format(path=path, head=head, body=body))
        with_and_without_batching(model, script)
    overload(model)


if __name__ == "__main__":
    main()
