"""Models side by side: errors on the same images, size, latency measured in turns, and what the training cost.

`compare` measures `Candidate`s and answers with a frozen `ComparedModel` for each; whoever opens a model says how it is
asked, so that ONNX files and Keras models are compared alike.
"""

import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.measure.round_robin import round_robin
from digits_edge.runtime.checks.accuracy import Accuracy
from digits_edge.runtime.checks.latency import measure
from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.json_record import read_json
from digits_edge.train.evaluation.significance import Difference, differences_to_best
from digits_edge.train.training.recipe import BEST_RECIPES

#: How often every model has its turn; a burst of other work then falls on one turn, not on one model.
_TURNS = 7
_WARM_UP, _REPEATS, _SECONDS = 5, 15, 0.15
#: Images that are answered at once while errors are counted.
_ANSWERED_AT_ONCE = 1000

Answers = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
#: Told of every step: (what is done now, steps done, steps in all).
Listener = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TrainingCost:
    """What a training took, over all its restarts."""

    epochs: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class DescribedModel:
    """What is known of a model before it answers.

    Attributes:
        name: unique among those compared.
        engine: what computes it: "onnx" or "keras".
        provider: what the engine has bound: onnxruntime's provider, Keras's backend.
        precision: of its weights.
        parameters: of the Keras model.
        size_bytes: of the file.
        training: None where nobody knows.
        architecture: None where nobody knows.
    """

    name: str
    engine: str
    provider: str
    precision: str
    parameters: int
    size_bytes: int
    training: TrainingCost | None = None
    architecture: str | None = None

    @property
    def title(self) -> str:
        """The name, with the architecture where that is known and the name does not begin with it."""
        stem = re.sub(r"(\.onnx|\.keras|\.h5)$", "", self.name)
        begins_with = [known for known in BEST_RECIPES if stem == known or stem.startswith(f"{known}-")]
        said = max(begins_with, key=len, default=stem)
        return self.name if self.architecture in (None, said) else f"{self.name} ({self.architecture})"


@dataclass(frozen=True, kw_only=True)
class Candidate(DescribedModel):
    """A model that is to be compared.

    Attributes:
        answers: uint8 images (N, 28, 28) → float32 (N, C), the largest number at the class that is said.
    """

    answers: Answers


@dataclass(frozen=True)
class Latency:
    """How long the answer to a batch takes.

    Attributes:
        batch_size: images per call.
        median_us: the median of the turns' medians, microseconds per call.
        lowest_us: the lowest of them.
        highest_us: the highest of them; far from the lowest, the machine had other work.
    """

    batch_size: int
    median_us: float
    lowest_us: float
    highest_us: float

    @property
    def images_per_second(self) -> float:
        """What calls of the median's length come to."""
        return self.batch_size / self.median_us * 1e6


@dataclass(frozen=True, kw_only=True)
class ComparedModel(DescribedModel):
    """One line of a comparison.

    Attributes:
        accuracy: on all images.
        difference: from the best model; None for the best itself.
        single: the latency of one image.
        batch: the latency of a batch.
    """

    accuracy: Accuracy
    difference: Difference | None
    single: Latency
    batch: Latency

    @property
    def kind(self) -> str:
        """Engine and precision."""
        return f"{self.engine} {self.precision}"

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        difference = self.difference and asdict(self.difference) | {
            "is_more_than_chance": self.difference.is_more_than_chance
        }
        return {
            "name": self.name,
            "architecture": self.architecture,
            "engine": self.engine,
            "provider": self.provider,
            "precision": self.precision,
            "errors": self.accuracy.errors,
            "images": self.accuracy.images,
            "accuracy": self.accuracy.value,
            "interval": list(self.accuracy.interval()),
            "difference_to_best": difference,
            "parameters": self.parameters,
            "bytes": self.size_bytes,
            "latency_us": self.single.median_us,
            "latency_range_us": [self.single.lowest_us, self.single.highest_us],
            "batch_size": self.batch.batch_size,
            "images_per_second": self.batch.images_per_second,
            "training_epochs": self.training and self.training.epochs,
            "training_seconds": self.training and self.training.seconds,
        }


def compare(
    candidates: Sequence[Candidate], dataset: Dataset, *, batch_size: int = 32, on_step: Listener | None = None
) -> list[ComparedModel]:
    """Count every model's errors on the same images, then measure the latencies of all in turns.

    A call is timed from uint8 images to an array of answers, scaling included. All models have a turn, then all have
    the next one, so that other work on the machine hurts all alike and ratios hold.

    Args:
        candidates: at least one, in the order of the answer.
        dataset: labelled images.
        batch_size: images per call, where the throughput is measured.
        on_step: told of every step.

    Raises:
        DataError: the data has no labelled images, or labels beyond a model's classes.
    """
    tell = on_step or (lambda what, done, steps: None)
    steps = len(candidates) * (1 + _TURNS)
    wrong = []
    for index, candidate in enumerate(candidates):
        tell(f"answering {len(dataset):,} images: {candidate.name}", index, steps)
        wrong.append(_wrong(candidate, dataset))
    images = [np.resize(dataset.images, (size, 28, 28)) for size in (1, batch_size)]  # repeats few images
    turns = count(len(candidates))
    times_us = round_robin(
        {index: partial(_medians_us, candidate.answers, images) for index, candidate in enumerate(candidates)},
        rounds=_TURNS,
        on_turn=lambda index, turn: tell(f"timing {candidates[index].name}", next(turns), steps),
    )
    best, differences = differences_to_best(wrong, [candidate.size_bytes for candidate in candidates])
    return [
        ComparedModel(
            **{known.name: getattr(candidate, known.name) for known in fields(DescribedModel)},
            accuracy=Accuracy(int(wrong[index].sum()), len(dataset)),
            difference=None if index == best else differences[index],
            single=_latency(1, [turn[0] for turn in times_us[index]]),
            batch=_latency(batch_size, [turn[1] for turn in times_us[index]]),
        )
        for index, candidate in enumerate(candidates)
    ]


def training_cost(run_folder: Path) -> TrainingCost | None:
    """What a run's `recipe.json` says of its cost; None where there is none, or the run is not finished."""
    try:
        result = read_json(run_folder / "recipe.json")["result"]
        return TrainingCost(int(result["epochs"]), float(result["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def unique_names(models: Sequence[str]) -> list[str]:
    """Short names that tell models apart: a path's last part, with folders before it where two are alike.

    Args:
        models: names and paths as a user wrote them; the same one, given twice, gets a number.
    """
    parts = [Path(model).parts or (model,) for model in models]
    names = [""] * len(models)
    for length in range(1, max(map(len, parts), default=0) + 1):
        longer = [Path(*part[-length:]).as_posix() for part in parts]
        names = [new if names.count(old) > 1 or not old else old for old, new in zip(names, longer, strict=True)]
    return [
        f"{name} ({names[: index + 1].count(name)})" if names.count(name) > 1 else name
        for index, name in enumerate(names)
    ]


def _wrong(candidate: Candidate, dataset: Dataset) -> NDArray[np.bool_]:
    """Which images a model gets wrong, (N,)."""
    classes = candidate.answers(dataset.images[:1]).shape[1] if len(dataset) else 0
    labels = dataset.labels_for(classes, candidate.name)
    said = []
    for start in range(0, len(dataset), _ANSWERED_AT_ONCE):
        answers = candidate.answers(dataset.images[start : start + _ANSWERED_AT_ONCE])
        said.append(answers.argmax(axis=1))
    wrong: NDArray[np.bool_] = np.concatenate(said) != labels
    return wrong


def _medians_us(answers: Answers, batches: Sequence[NDArray[np.uint8]]) -> list[float]:
    """The median time of a call for each batch."""
    return [
        measure(partial(answers, batch), warm_up=_WARM_UP, repeats=_REPEATS, seconds=_SECONDS)[1].p50_us
        for batch in batches
    ]


def _latency(batch_size: int, medians_us: Sequence[float]) -> Latency:
    return Latency(batch_size, statistics.median(medians_us), min(medians_us), max(medians_us))
