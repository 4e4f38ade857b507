"""Latency measurements: percentiles by batch size, and cold starts."""

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
#: With fewer samples, the 99th percentile is just the maximum.
_MIN_FOR_P99 = 100

#: Printed by a new Python process: seconds to import, to open, and to predict.
_PROGRAM = """
import sys, time
started = time.perf_counter()
import numpy
from digits_edge.runtime.classifier import Classifier
imported = time.perf_counter()
classifier = Classifier(sys.argv[1], provider=sys.argv[2], threads=int(sys.argv[3]))
opened = time.perf_counter()
classifier.predict_batch(numpy.zeros((1, *classifier.metadata.input.shape), numpy.uint8))
predicted = time.perf_counter()
print(imported - started, opened - imported, predicted - opened, flush=True)
"""


def percentile(samples: ArrayLike, percent: float) -> float:
    """A percentile, linearly interpolated between the two nearest ranks.

    Args:
        samples: one-dimensional, at least one value.
        percent: 0 to 100.

    Example:
        >>> percentile([4, 1, 3, 2], 50)
        2.5
    """
    return float(np.percentile(np.asarray(samples), percent, method="linear"))


@dataclass(frozen=True, eq=False)
class Samples:
    """Durations of single calls, in the order of the calls.

    Attributes:
        us: float64 (K,), microseconds; K is at least 1.

    Example:
        >>> samples = Samples(np.array([30.0, 10.0, 20.0]))
        >>> samples.p50_us, samples.mean_us, samples.p99_us
        (20.0, 20.0, None)
    """

    us: NDArray[np.float64]

    @property
    def p50_us(self) -> float:
        """Median, in µs."""
        return percentile(self.us, 50)

    @property
    def p90_us(self) -> float:
        """90th percentile, in µs."""
        return percentile(self.us, 90)

    @property
    def p99_us(self) -> float | None:
        """99th percentile, in µs; None with fewer than 100 samples."""
        return percentile(self.us, 99) if len(self.us) >= _MIN_FOR_P99 else None

    @property
    def mean_us(self) -> float:
        """Mean, in µs."""
        return float(self.us.mean())


@dataclass(frozen=True, eq=False)
class Row:
    """Latency of one batch size.

    Attributes:
        batch_size: images per call.
        warm_up: durations of the warm-up calls; the first one includes allocations.
        latency: durations of the measured calls.
    """

    batch_size: int
    warm_up: Samples
    latency: Samples

    @property
    def images_per_second(self) -> float:
        """Throughput of the measured calls."""
        return self.batch_size / self.latency.mean_us * 1e6


@dataclass(frozen=True)
class ColdStart:
    """Time to the first prediction in a new Python process, in milliseconds.

    Attributes:
        total_ms: from starting the process to the prediction.
        import_ms: part of it: importing numpy and this package.
        open_ms: part of it: importing onnxruntime and opening the session.
        first_ms: part of it: the first prediction.
    """

    total_ms: float
    import_ms: float
    open_ms: float
    first_ms: float


@dataclass(frozen=True, eq=False)
class Benchmark:
    """Latency of a model.

    Attributes:
        model: name of the model.
        provider: short name of the bound provider.
        threads: number of threads that share a batch.
        rows: one per batch size.
        cold_starts: in order of measurement; empty if not requested.
    """

    model: str
    provider: str
    threads: int
    rows: tuple[Row, ...]
    cold_starts: tuple[ColdStart, ...]

    def to_json(self) -> dict[str, Any]:
        """Convert to a dictionary that can be serialized as JSON, including the raw samples."""
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
    """Measure the duration of repeated calls.

    Args:
        run: the function to measure.
        warm_up: number of calls before the measurement, at least 1.
        repeats: minimum number of measured calls, at least 1.
        seconds: minimum duration of the measurement, in seconds.

    Returns:
        The warm-up calls and the measured calls.

    Raises:
        UsageError: `warm_up` or `repeats` is less than 1.

    Example:
        >>> warm_up, measured = measure(lambda: sum(range(100)), warm_up=2, repeats=5)
        >>> len(warm_up.us), len(measured.us)
        (2, 5)
    """
    if warm_up < 1 or repeats < 1:
        raise UsageError(f"invalid number of calls: {warm_up} to warm up, {repeats} measured; use 1 or more of both")
    first = [_time_us(run) for _ in range(warm_up)]
    measured: list[float] = []
    end = time.perf_counter() + seconds
    while len(measured) < repeats or time.perf_counter() < end:
        measured.append(_time_us(run))
    return Samples(np.array(first)), Samples(np.array(measured))


def benchmark(
    classifier: Classifier,
    *,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    warm_up: int = 10,
    repeats: int = 100,
    seconds: float = 1.0,
    cold_starts: int = 0,
) -> Benchmark:
    """Measure a model's latency with its golden images.

    Args:
        classifier: the open model.
        batch_sizes: images per call, each at least 1.
        warm_up: number of warm-up calls per batch size, at least 1.
        repeats: minimum number of measured calls per batch size, at least 1.
        seconds: minimum duration per batch size, in seconds.
        cold_starts: number of new Python processes to measure.

    Raises:
        UsageError: a number is too small.
        ModelError: the provider failed.

    Example:
        >>> with Classifier("edge-int8", provider="cpu") as classifier:
        ...     found = benchmark(classifier, batch_sizes=[1, 8], warm_up=1, repeats=3, seconds=0)
        >>> [row.batch_size for row in found.rows]
        [1, 8]
    """
    if min(batch_sizes, default=0) < 1:
        raise UsageError(f"invalid batch sizes {list(batch_sizes)}: give at least one, each 1 or more")
    rows = []
    for size in batch_sizes:
        images = np.resize(classifier.golden.images, (size, *classifier.metadata.input.shape))  # repeats the images
        run = partial(classifier.predict_batch, images)
        warm, measured = measure(run, warm_up=warm_up, repeats=repeats, seconds=seconds)
        rows.append(Row(size, warm, measured))
    return Benchmark(
        model=classifier.metadata.name,
        provider=classifier.provider,
        threads=classifier.threads,
        rows=tuple(rows),
        cold_starts=tuple(cold_start(classifier) for _ in range(cold_starts)),
    )


def cold_start(classifier: Classifier) -> ColdStart:
    """Measure a new Python process that opens the same model, with the same provider and threads, and predicts once.

    Raises:
        ModelError: the process failed; the message includes the last line of its stderr.
    """
    arguments = [str(classifier.path.absolute()), classifier.provider, str(classifier.threads)]
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        durations = process.stdout.readline()
        total_ms = (time.perf_counter() - started) * 1e3
        stderr = process.communicate()[1].strip().splitlines()
    if not durations:
        reason = stderr[-1] if stderr else f"exit code {process.returncode}"
        raise ModelError(f"the process for the cold start failed: {reason}")
    return ColdStart(total_ms, *(float(part) * 1e3 for part in durations.split()))


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
