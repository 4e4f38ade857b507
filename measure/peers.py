"""`measure_peers`: one model file with every engine, in turns."""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from digits_edge.measure.engine_list import engine_list
from digits_edge.measure.engine_spec import OURS, EngineSpec
from digits_edge.measure.engines import LITERT
from digits_edge.measure.process import EngineError, EngineProcess
from digits_edge.measure.results import PeerRow
from digits_edge.measure.round_robin import round_robin
from digits_edge.runtime.checks.parity import Parity, compare, golden_shortfalls
from digits_edge.runtime.classifier import Classifier, FloatArray
from digits_edge.runtime.errors import CheckError, ModelError
from digits_edge.runtime.model.golden import GoldenValues
from digits_edge.runtime.model.model_file import Metadata

if TYPE_CHECKING:
    from digits_edge.measure.keras_peer import KerasPeer

#: Told of what happens now.
Listener = Callable[[str], None]
#: Told which engine is left out, and why.
SkipListener = Callable[[str, str], None]


@dataclass(frozen=True, eq=False)
class Subject:
    """A model file, and what its engines must answer.

    Attributes:
        path: the file.
        metadata: what it says of itself.
        golden: its golden images, and what Keras answered.
        answers: what ours on the CPU answers to those images, float32 (K, C).
    """

    path: Path
    metadata: Metadata
    golden: GoldenValues
    answers: FloatArray

    @classmethod
    def of(cls, model: str) -> "Subject":
        """Ask a model file, or a bundled model by name.

        Raises:
            ModelError: it cannot be opened.
        """
        with Classifier(model, provider="cpu", threads=1) as classifier:
            answers = classifier.predict_batch(classifier.golden.images)
            return cls(classifier.path.absolute(), classifier.metadata, classifier.golden, answers)

    @property
    def name(self) -> str:
        """The model's."""
        return self.metadata.name

    @property
    def tolerance(self) -> float:
        """How far an engine may be from our answers: each of the two may be as far from Keras as the file allows."""
        return 2 * self.golden.tolerance


def measure_peers(
    subject: Subject,
    *,
    keras: "KerasPeer | None" = None,
    calibration: NDArray[np.uint8] | None = None,
    threads: Sequence[int],
    batch_sizes: Sequence[int],
    rounds: int,
    seconds: float,
    listener: Listener = lambda what: None,
    on_skip: SkipListener = lambda engine, reason: None,
) -> list[PeerRow]:
    """Time every engine that is installed here with a model file.

    Args:
        subject: the model file.
        keras: what it was made of; without it LiteRT and the engines of Keras have nothing to run.
        calibration: training images, from which LiteRT's int8 takes its ranges.
        threads: numbers of threads, each measured apart.
        batch_sizes: images per call.
        rounds: how often each engine has its turn for a batch size.
        seconds: for each row, at least, in all rounds together.
        listener: told of every step.
        on_skip: told of every engine that cannot be measured.

    Raises:
        CheckError: none of ours could be measured.
    """
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = folder / "images.npy"
        np.save(images, subject.golden.images)
        litert: list[tuple[int, Path]] = []
        if keras is not None:
            from digits_edge.measure.litert import write_litert

            listener(f"{subject.name}: converting for LiteRT")
            try:
                litert = write_litert(keras, subject.metadata.precision, batch_sizes, folder, calibration)
            except ModelError as error:
                on_skip(LITERT, str(error))
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


def measure_engines(
    subject: Subject,
    specs: Sequence[EngineSpec],
    *,
    batch_sizes: Sequence[int],
    rounds: int,
    seconds: float,
    listener: Listener = lambda what: None,
    on_skip: SkipListener = lambda engine, reason: None,
) -> list[PeerRow]:
    """Time these engines, each in a process of its own, one at a time.

    Before an engine is timed with a batch size it answers the golden images in batches of that size; one that answers
    otherwise than ours is left out, so that nobody is timed on wrong work.

    Args:
        subject: what they run.
        specs: the engines, with one number of threads; at least one is ours.
        batch_sizes: images per call.
        rounds: how often each engine has its turn for a batch size.
        seconds: for each row, at least, in all rounds together.
        listener: told of every step.
        on_skip: told of every engine that cannot be measured.

    Raises:
        CheckError: none of ours could be measured.
    """
    rows: list[PeerRow] = []
    with ExitStack() as stack:
        listener(f"starting {len(specs)} engines")
        processes = [stack.enter_context(EngineProcess(spec)) for spec in specs]
        opened = [process for process in processes if _is_open(process, on_skip)]
        for batch_size in batch_sizes:
            listener(f"{subject.name}: preparing batches of {batch_size}")
            parities = {process.name: _parity(process, subject, batch_size, on_skip) for process in opened}
            ready = [process for process in opened if parities[process.name] is not None]

            def show_turn(engine: str, number: int, *, batch_size: int = batch_size) -> None:
                listener(f"{subject.name}, batch {batch_size}, round {number + 1} of {rounds}: {engine}")

            times_us = round_robin(
                {process.name: partial(process.time_us, seconds / rounds) for process in ready},
                rounds=rounds,
                on_turn=show_turn,
                on_failure=lambda engine, error: on_skip(engine, str(error)),
            )
            rows += _rows(subject, batch_size, ready, times_us, parities)
    return rows


def _is_open(process: EngineProcess, on_skip: SkipListener) -> bool:
    try:
        process.wait()
    except EngineError as error:
        on_skip(process.name, str(error))
        return False
    return True


def _parity(process: EngineProcess, subject: Subject, batch_size: int, on_skip: SkipListener) -> Parity | None:
    """How far an engine's answers are from ours; None where it gives none, or wrong ones."""
    try:
        answers = process.prepare(batch_size)
    except EngineError as error:
        on_skip(process.name, str(error))
        return None
    if answers.shape != subject.answers.shape:
        on_skip(process.name, f"its answers are {answers.shape}, not {subject.answers.shape}")
        return None
    parity = compare(subject.answers, answers)
    if problems := golden_shortfalls(parity, subject.tolerance):
        on_skip(process.name, f"it does not answer like ours: {'; '.join(problems)}")
        return None
    return parity


def _rows(
    subject: Subject,
    batch_size: int,
    processes: Sequence[EngineProcess],
    times_us: dict[str, list[float]],
    parities: dict[str, Parity | None],
) -> list[PeerRow]:
    p50s_us = {name: statistics.median(of_rounds) for name, of_rounds in times_us.items()}
    ours = [p50s_us[process.name] for process in processes if process.spec.engine == OURS and process.name in p50s_us]
    if not ours:
        raise CheckError(f"{subject.name} with batches of {batch_size} could not be measured with any provider of ours")
    rows = []
    for process in processes:
        parity = parities[process.name]
        if process.name not in p50s_us or parity is None:
            continue
        p50_us, of_rounds = p50s_us[process.name], times_us[process.name]
        rows.append(
            PeerRow(
                model=subject.name,
                precision=subject.metadata.precision,
                engine=process.name,
                engine_version=process.version,
                threads=process.spec.threads,
                batch_size=batch_size,
                # a tenth of a microsecond is less than the clock knows
                p50_us=round(p50_us, 1),
                lowest_us=round(min(of_rounds), 1),
                highest_us=round(max(of_rounds), 1),
                images_per_second=round(batch_size / p50_us * 1e6, 1),
                ratio=round(p50_us / min(ours), 4),
                agreement=1 - parity.changed / parity.images,
                largest_difference=float(f"{parity.max_difference:.2g}"),
            )
        )
    return rows
