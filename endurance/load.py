"""Load test of `Classifier`: shared by threads for minutes, in process pools, and opened thousands of times.

Every output is compared, bit for bit, with that of a single thread, and the memory is recorded.

Example: python -m endurance.load --minutes 1 --sessions 500
"""

import multiprocessing
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import click
import numpy as np
import psutil

from digits_edge.runtime import Classifier
from digits_edge.runtime.datasets.synthetic_digits import draw_image

_SIZES = (1, 3, 8, 32, 100)


@click.command(help=__doc__)
@click.option("--model", default="edge", show_default=True, help="Bundled name or model file.")
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    help="Number of threads that share a classifier.",
)
@click.option("--minutes", type=float, default=10.0, show_default=True, help="Duration of the test with threads.")
@click.option(
    "--sessions",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="Number of classifiers to open and close.",
)
def main(model: str, threads: int, minutes: float, sessions: int) -> None:
    """Run the load tests and print the results."""
    images = _images(400)
    with Classifier(model, provider="cpu", threads=1) as classifier:
        expected = classifier.predict_batch(images)
    _shared(model, images, expected, threads, minutes)
    for method in ("fork", "spawn", "forkserver"):
        _in_pool(method, model, images, expected)
    _opened_and_closed(model, images, expected, sessions)


def _images(count: int) -> np.ndarray:
    """Return drawn digits with noise, uint8 (N, 28, 28)."""
    rng = np.random.default_rng(0)
    drawn = np.stack([draw_image(digit % 10, rng) for digit in range(count)])
    noise = rng.integers(0, 256, drawn.shape, np.uint8)
    return np.where(rng.random(drawn.shape) < 0.1, noise, drawn)


def _shared(model: str, images: np.ndarray, expected: np.ndarray, threads: int, minutes: float) -> None:
    ends = time.monotonic() + 60 * minutes
    calls = wrong = 0
    counting = threading.Lock()
    with Classifier(model, provider="cpu") as classifier, ThreadPoolExecutor(threads) as pool:

        def predict(seed: int) -> None:
            nonlocal calls, wrong
            rng = np.random.default_rng(seed)
            while time.monotonic() < ends:
                start, size = int(rng.integers(0, len(images) - 100)), int(rng.choice(_SIZES))
                part = slice(start, start + size)
                same = np.array_equal(classifier.predict_batch(images[part]), expected[part])
                with counting:
                    calls, wrong = calls + 1, wrong + (not same)

        futures = [pool.submit(predict, seed) for seed in range(threads)]
        memory = []
        while time.monotonic() < ends:
            time.sleep(min(5.0, 6 * minutes))
            memory.append(_memory_mb())
        for future in futures:
            future.result()
    _report(f"{threads} threads, {minutes:g} min", calls, wrong, memory)


def _in_pool(method: str, model: str, images: np.ndarray, expected: np.ndarray) -> None:
    """Use an open classifier in four processes, which receive it by pickle or by fork."""
    with Classifier(model, provider="cpu") as classifier:
        classifier.predict_batch(images)  # starts its threads, which do not survive a fork
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(4, mp_context=context) as pool:
            futures = [pool.submit(_predict, classifier, images) for _ in range(40)]
            wrong = sum(not np.array_equal(future.result(), expected) for future in futures)
    _report(f"pool of 4, {method}", len(futures), wrong, [_memory_mb()])


def _predict(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    return classifier.predict_batch(images)


def _opened_and_closed(model: str, images: np.ndarray, expected: np.ndarray, sessions: int) -> None:
    wrong, memory = 0, []
    for number in range(sessions):
        with Classifier(model, provider="cpu") as classifier:
            wrong += not np.array_equal(classifier.predict_batch(images[:32]), expected[:32])
        if number % max(1, sessions // 50) == 0:
            memory.append(_memory_mb())
    _report(f"{sessions:,} sessions", sessions, wrong, memory)


def _memory_mb() -> float:
    """Return the resident memory of this process in MB."""
    return float(psutil.Process().memory_info().rss) / 1e6


def _report(what: str, calls: int, wrong: int, memory: list[float]) -> None:
    first, middle, last = memory[0], memory[len(memory) // 2], memory[-1]
    click.echo(f"{what:24} {calls:>10,} calls  {wrong} wrong  {first:.0f} → {middle:.0f} → {last:.0f} MB")
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
