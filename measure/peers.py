"""Comparison of all engines on a model file: `measure_peers()`."""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digits_edge.measure.engine_list import engine_list
from digits_edge.measure.engine_spec import OWN_ENGINE, EngineSpec
from digits_edge.measure.engines import KERAS_ENGINES, LITERT
from digits_edge.measure.process import EngineError, EngineProcess
from digits_edge.measure.results import PeerRow, SkippedEngine
from digits_edge.measure.round_robin import round_robin
from digits_edge.runtime.checks.parity import Parity, compare, golden_shortfalls
from digits_edge.runtime.classifier import Classifier, FloatArray
from digits_edge.runtime.errors import CheckError, ModelError
from digits_edge.runtime.model.golden import GoldenValues
from digits_edge.runtime.model.model_file import Metadata
from digits_edge.runtime.packages import needs_message
from digits_edge.runtime.session.quiet import silenced_stderr

if TYPE_CHECKING:
    from digits_edge.measure.keras_peer import KerasPeer

#: Called with a description of each step.
Listener = Callable[[str], None]
#: Called with each engine that cannot be measured.
SkipListener = Callable[[SkippedEngine], None]


@dataclass(frozen=True, eq=False)
class Subject:
    """A model file and the predictions that engines must reproduce.

    Attributes:
        path: the model file.
        metadata: its metadata.
        golden: its golden images and Keras's predictions.
        probabilities: predictions of digits-edge on the CPU for the golden images, float32 (K, C).

    Example:
        >>> subject = Subject.of("cnn-small-int8")
        >>> subject.name, subject.probabilities.shape == subject.golden.probabilities.shape
        ('cnn-small-int8', True)
    """

    path: Path
    metadata: Metadata
    golden: GoldenValues
    probabilities: FloatArray

    @classmethod
    def of(cls, model: str) -> "Subject":
        """Open a model file, or a bundled model by name, and predict its golden images.

        Raises:
            ModelError: the model cannot be opened.
        """
        with Classifier(model, provider="cpu", threads=1) as classifier:
            predictions = classifier.predict_batch(classifier.golden.images)
            return cls(classifier.path.absolute(), classifier.metadata, classifier.golden, predictions)

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.metadata.name

    @property
    def tolerance(self) -> float:
        """Maximum difference of a probability from `answers`: twice the tolerance to Keras, once for each side."""
        return 2 * self.golden.tolerance


def measure_peers(
    subject: Subject,
    *,
    keras: "KerasPeer | None" = None,
    threads: Sequence[int],
    batch_sizes: Sequence[int],
    rounds: int,
    seconds: float,
    listener: Listener = lambda what: None,
    on_skip: SkipListener = lambda skipped: None,
) -> list[PeerRow]:
    """Time every engine with a model file. An engine is either in a row or reported to `on_skip`.

    Args:
        subject: the model file.
        keras: the Keras model it was exported from; without it the Keras engines are skipped.
        threads: numbers of threads, measured separately.
        batch_sizes: images per call.
        rounds: turns of each engine for a batch size.
        seconds: minimum time for each row, over all rounds.
        listener: called with a description of each step.
        on_skip: called with each engine that cannot be measured.

    Returns:
        A row for each engine, batch size and number of threads.

    Raises:
        CheckError: no digits-edge provider could be measured.

    Example:
        >>> subject = Subject.of("edge-int8")
        >>> measure_peers(subject, threads=[1], batch_sizes=[1, 32], rounds=5, seconds=1)  # doctest: +SKIP
    """
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = folder / "images.npy"
        np.save(images, subject.golden.images)
        listener(f"{subject.name}: converting for LiteRT")
        litert = _converted(subject, batch_sizes, folder, on_skip)
        for engine in KERAS_ENGINES if keras is None else ():
            on_skip(SkippedEngine(subject.name, engine, "it runs the Keras model; pass its source with --keras"))
        for count in threads:
            rows += measure_engines(
                subject,
                engine_list(subject.path, images, count, keras=keras.spec if keras else None, litert=litert),
                batch_sizes=batch_sizes,
                rounds=rounds,
                seconds=seconds,
                listener=listener,
                on_skip=on_skip,
            )
    return rows


def _converted(
    subject: Subject, batch_sizes: Sequence[int], folder: Path, on_skip: SkipListener
) -> list[tuple[int, Path]]:
    """Write the files of LiteRT; none if that is impossible."""
    try:
        with silenced_stderr():
            import ai_edge_litert  # noqa: F401 - the conversion is of no use without it

            from digits_edge.measure.litert import write_litert

            return write_litert(subject.path, subject.metadata.precision, subject.golden.images, batch_sizes, folder)
    except ModuleNotFoundError:
        reason = needs_message("this engine", ["bench"])
    except ModelError as error:
        reason = str(error)
    on_skip(SkippedEngine(subject.name, LITERT, reason))
    return []


def measure_engines(
    subject: Subject,
    specs: Sequence[EngineSpec],
    *,
    batch_sizes: Sequence[int],
    rounds: int,
    seconds: float,
    listener: Listener = lambda what: None,
    on_skip: SkipListener = lambda skipped: None,
) -> list[PeerRow]:
    """Time engines, each in its own process, one at a time.

    Before an engine is timed with a batch size, it predicts the golden images in batches of that size. An engine whose
    predictions differ from those of digits-edge is skipped.

    Args:
        subject: the model file.
        specs: the engines, all with the same number of threads; at least one is digits-edge.
        batch_sizes: images per call.
        rounds: turns of each engine for a batch size.
        seconds: minimum time for each row, over all rounds.
        listener: called with a description of each step.
        on_skip: called with each engine that cannot be measured.

    Returns:
        A row for each engine and batch size.

    Raises:
        CheckError: no digits-edge provider could be measured.
    """
    rows: list[PeerRow] = []
    with ExitStack() as stack:
        listener(f"starting {len(specs)} engines")
        processes = [stack.enter_context(EngineProcess(spec)) for spec in specs]
        opened = [process for process in processes if _is_open(process, subject, on_skip)]
        for batch_size in batch_sizes:
            listener(f"{subject.name}: preparing batches of {batch_size}")
            parities = {process.name: _parity(process, subject, batch_size, on_skip) for process in opened}
            ready = [process for process in opened if parities[process.name] is not None]

            def show_turn(engine: str, number: int, *, batch_size: int = batch_size) -> None:
                listener(f"{subject.name}, batch {batch_size}, round {number + 1} of {rounds}: {engine}")

            def skip_from_now(engine: str, error: Exception, *, batch_size: int = batch_size) -> None:
                on_skip(SkippedEngine(subject.name, engine, str(error), specs[0].threads, batch_size))

            times_us = round_robin(
                {process.name: partial(process.time_us, seconds / rounds) for process in ready},
                rounds=rounds,
                on_turn=show_turn,
                on_failure=skip_from_now,
            )
            rows += _rows(subject, batch_size, ready, times_us, parities)
    return rows


def _is_open(process: EngineProcess, subject: Subject, on_skip: SkipListener) -> bool:
    try:
        process.wait()
    except EngineError as error:
        on_skip(SkippedEngine(subject.name, process.name, str(error), process.spec.threads))
        return False
    return True


def _parity(process: EngineProcess, subject: Subject, batch_size: int, on_skip: SkipListener) -> Parity | None:
    """Compare an engine's predictions with those of digits-edge; None if it is skipped."""

    def skip(reason: str) -> None:
        on_skip(SkippedEngine(subject.name, process.name, reason, process.spec.threads, batch_size))

    try:
        predictions = process.prepare(batch_size)
    except EngineError as error:
        skip(str(error))
        return None
    if predictions.shape != subject.probabilities.shape:
        skip(f"output shape {predictions.shape}, expected {subject.probabilities.shape}")
        return None
    parity = compare(subject.probabilities, predictions)
    if problems := golden_shortfalls(parity, subject.tolerance):
        skip(f"its predictions differ from digits-edge: {'; '.join(problems)}")
        return None
    return parity


def _rows(
    subject: Subject,
    batch_size: int,
    processes: Sequence[EngineProcess],
    times_us: dict[str, list[float]],
    parities: dict[str, Parity | None],
) -> list[PeerRow]:
    p50s_us = {name: statistics.median(medians_us) for name, medians_us in times_us.items()}
    own_p50s_us = [
        p50s_us[process.name] for process in processes if process.spec.engine == OWN_ENGINE and process.name in p50s_us
    ]
    if not own_p50s_us:
        raise CheckError(f"{subject.name}, batch size {batch_size}: no digits-edge provider could be measured")
    rows = []
    for process in processes:
        parity = parities[process.name]
        if process.name not in p50s_us or parity is None:
            continue
        p50_us, medians_us = p50s_us[process.name], times_us[process.name]
        rows.append(
            PeerRow(
                model=subject.name,
                precision=subject.metadata.precision,
                engine=process.name,
                engine_version=process.version,
                threads=process.spec.threads,
                batch_size=batch_size,
                # the clock's resolution is coarser than 0.1 µs
                p50_us=round(p50_us, 1),
                lowest_us=round(min(medians_us), 1),
                highest_us=round(max(medians_us), 1),
                images_per_second=round(batch_size / p50_us * 1e6, 1),
                ratio=round(p50_us / min(own_p50s_us), 4),
                agreement=1 - parity.changed / parity.images,
                largest_difference=float(f"{parity.max_difference:.2g}"),
            )
        )
    return rows
