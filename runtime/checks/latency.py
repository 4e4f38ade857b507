"""How long answers take: percentiles, warm and cold, by batch size."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.errors import ModelError, UsageError

BATCH_SIZES = (1, 8, 32, 256, 1024)
#: Under this many samples the 99th percentile is but the largest of them.
_MIN_FOR_P99 = 100

_FIRST_ANSWER = """
import sys, time
started = time.perf_counter()
import numpy
from digits_edge.runtime.classifier import Classifier
imported = time.perf_counter()
classifier = Classifier(sys.argv[1], provider=sys.argv[2], threads=int(sys.argv[3]))
opened = time.perf_counter()
classifier.predict_batch(numpy.zeros((1, 28, 28), numpy.uint8))
answered = time.perf_counter()
print(imported - started, opened - imported, answered - opened, flush=True)
"""


def percentile(samples: ArrayLike, percent: float) -> float:
    """The value under which `percent` % of the samples lie, interpolated linearly between the two nearest ranks."""
    return float(np.percentile(np.asarray(samples), percent, method="linear"))


@dataclass(frozen=True, eq=False)
class Samples:
    """Times of single calls, in the order they were made.

    Attributes:
        us: float64, (K,), microseconds; K is at least 1.
    """

    us: NDArray[np.float64]

    @property
    def p50_us(self) -> float:
        """The median."""
        return percentile(self.us, 50)

    @property
    def p90_us(self) -> float:
        """One call in ten takes longer."""
        return percentile(self.us, 90)

    @property
    def p99_us(self) -> float | None:
        """One call in a hundred takes longer; None under 100 samples."""
        return percentile(self.us, 99) if len(self.us) >= _MIN_FOR_P99 else None

    @property
    def mean_us(self) -> float:
        """All the time, shared among the calls."""
        return float(self.us.mean())


@dataclass(frozen=True, eq=False)
class Row:
    """One line of the table.

    Attributes:
        batch_size: images per call.
        warm_up: the calls before those that count; the first of them allocates.
        latency: the calls that count.
    """

    batch_size: int
    warm_up: Samples
    latency: Samples

    @property
    def images_per_second(self) -> float:
        """All images of the calls that count, by all their time."""
        return self.batch_size / self.latency.mean_us * 1e6


@dataclass(frozen=True)
class ColdStart:
    """From nothing to the first answer, in a fresh interpreter.

    Attributes:
        total_ms: from the start of the process to its answer.
        import_ms: of that, importing numpy and this package.
        open_ms: of that, importing onnxruntime and opening the session.
        first_ms: of that, the first answer.
    """

    total_ms: float
    import_ms: float
    open_ms: float
    first_ms: float


@dataclass(frozen=True, eq=False)
class Benchmark:
    """What was measured, and of what.

    Attributes:
        model: the model's name.
        provider: what was bound.
        threads: how many computed a batch together.
        rows: one for each batch size.
        cold_starts: in the order they were made; empty if not asked for.
    """

    model: str
    provider: str
    threads: int
    rows: tuple[Row, ...]
    cold_starts: tuple[ColdStart, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain values, with the raw samples."""
        return {
            "model": self.model,
            "provider": self.provider,
            "threads": self.threads,
            "rows": [_row_to_json(row) for row in self.rows],
            "cold_starts": [asdict(start) for start in self.cold_starts],
        }


def measure(
    run: Callable[[], object], *, warm_up: int = 10, repeats: int = 100, seconds: float = 0.0
) -> tuple[Samples, Samples]:
    """Time a call, over and over.

    Args:
        run: what to time.
        warm_up: calls before those that count, at least 1.
        repeats: calls that count, at least; 1 or more.
        seconds: go on for so long, at least.

    Returns:
        The calls that warm up, and those that count.
    """
    if warm_up < 1 or repeats < 1:
        raise UsageError(f"{warm_up} calls to warm up and {repeats} that count; both must be 1 or more")
    first = [_time_us(run) for _ in range(warm_up)]
    counted: list[float] = []
    end = time.perf_counter() + seconds
    while len(counted) < repeats or time.perf_counter() < end:
        counted.append(_time_us(run))
    return Samples(np.array(first)), Samples(np.array(counted))


def benchmark(
    classifier: Classifier,
    *,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    warm_up: int = 10,
    repeats: int = 100,
    seconds: float = 1.0,
    cold_starts: int = 0,
) -> Benchmark:
    """Time a model on its own golden images.

    Args:
        classifier: the model, open.
        batch_sizes: images per call, each 1 or more.
        warm_up: calls before those that count, for each batch size.
        repeats: calls that count, at least, for each batch size.
        seconds: go on for so long, at least, for each batch size.
        cold_starts: how many fresh interpreters to start.

    Raises:
        UsageError: a number that is too small.
        ModelError: the provider failed.
    """
    if min(batch_sizes, default=0) < 1:
        raise UsageError(f"batch sizes {list(batch_sizes)}; name at least one, each 1 or more")
    rows = []
    for size in batch_sizes:
        images = np.resize(classifier.golden.images, (size, 28, 28))  # repeats them
        run = partial(classifier.predict_batch, images)
        first, counted = measure(run, warm_up=warm_up, repeats=repeats, seconds=seconds)
        rows.append(Row(size, first, counted))
    return Benchmark(
        model=classifier.metadata.name,
        provider=classifier.provider,
        threads=classifier.threads,
        rows=tuple(rows),
        cold_starts=tuple(cold_start(classifier) for _ in range(cold_starts)),
    )


def cold_start(classifier: Classifier) -> ColdStart:
    """Start a fresh interpreter that opens the same model, with the same provider and threads, and answers once.

    Raises:
        ModelError: it did not answer; says the last line of why.
    """
    arguments = [str(classifier.path.absolute()), classifier.provider, str(classifier.threads)]
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", _FIRST_ANSWER, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        answer = process.stdout.readline()
        total_ms = (time.perf_counter() - started) * 1e3
        reason = process.communicate()[1].strip().splitlines()
    if not answer:
        raise ModelError(f"a fresh interpreter gave no answer: {reason[-1] if reason else process.returncode}")
    return ColdStart(total_ms, *(float(part) * 1e3 for part in answer.split()))


def _time_us(run: Callable[[], object]) -> float:
    started = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - started) / 1e3


def _row_to_json(row: Row) -> dict[str, Any]:
    return {
        "batch_size": row.batch_size,
        "p50_us": row.latency.p50_us,
        "p90_us": row.latency.p90_us,
        "p99_us": row.latency.p99_us,
        "mean_us": row.latency.mean_us,
        "images_per_second": row.images_per_second,
        "first_us": float(row.warm_up.us[0]),
        "warm_up_samples_us": row.warm_up.us.tolist(),
        "samples_us": row.latency.us.tolist(),
    }
