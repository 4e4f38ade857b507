"""Comparison of models by errors on the same images, size, latency and training cost.

`compare` measures `Candidate` objects and returns a `ComparedModel` for each. A candidate has a function that predicts,
so ONNX and Keras models are compared in the same way.
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

#: Rounds over all models, so that a burst of other load affects one round and not one model.
_ROUNDS = 7
_WARM_UP, _REPEATS, _SECONDS = 5, 15, 0.15
#: Images per call while errors are counted.
_BATCH_SIZE = 1000

#: Images, uint8 (N, H, W) or (N, H, W, 3) → logits or probabilities, float32 (N, C).
Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
#: Called before every step with its description, the number of finished steps and the total.
Listener = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TrainingCost:
    """Cost of a training, summed over all restarts.

    Attributes:
        epochs: number of epochs.
        seconds: wall time.
    """

    epochs: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class DescribedModel:
    """Properties of a model that do not depend on data.

    Attributes:
        name: name, unique in a comparison.
        engine: "onnx" or "keras".
        provider: ONNX Runtime provider or Keras backend.
        precision: precision of the weights.
        parameters: number of parameters of the Keras model.
        size_bytes: file size.
        training: cost of the training; None if unknown.
        architecture: name of the architecture; None if unknown.
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
        """The name, followed by the architecture if the name does not start with it."""
        stem = re.sub(r"(\.onnx|\.keras|\.h5)$", "", self.name)
        prefixes = [known for known in BEST_RECIPES if stem == known or stem.startswith(f"{known}-")]
        prefix = max(prefixes, key=len, default=stem)
        return self.name if self.architecture in (None, prefix) else f"{self.name} ({self.architecture})"


@dataclass(frozen=True, kw_only=True)
class Candidate(DescribedModel):
    """A model to compare.

    Attributes:
        predict: function from images, uint8 (N, H, W) or (N, H, W, 3), to logits or probabilities, float32 (N, C).
    """

    predict: Predict


@dataclass(frozen=True)
class Latency:
    """Time per call in microseconds.

    Attributes:
        batch_size: images per call.
        median_us: median over the rounds of each round's median.
        lowest_us: lowest median of a round.
        highest_us: highest median of a round; a large range indicates other load on the machine.

    Example:
        >>> round(Latency(32, median_us=800.0, lowest_us=790.0, highest_us=850.0).images_per_second)
        40000
    """

    batch_size: int
    median_us: float
    lowest_us: float
    highest_us: float

    @property
    def images_per_second(self) -> float:
        """Throughput at the median latency."""
        return self.batch_size / self.median_us * 1e6


@dataclass(frozen=True, kw_only=True)
class ComparedModel(DescribedModel):
    """Results of one model.

    Attributes:
        accuracy: accuracy on all images.
        difference: difference from the best model; None for the best model.
        single: latency of one image.
        batch: latency of a batch.
    """

    accuracy: Accuracy
    difference: Difference | None
    single: Latency
    batch: Latency

    @property
    def kind(self) -> str:
        """Engine and precision, for example "onnx int8"."""
        return f"{self.engine} {self.precision}"

    def to_json(self) -> dict[str, Any]:
        """Return the results as JSON-compatible values."""
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
    """Count the errors of all models on the same images, then measure their latencies round-robin.

    A timed call goes from uint8 images to an array of predictions and includes scaling. Every round measures all
    models, so other load on the machine affects all of them equally.

    Args:
        candidates: the models, at least one.
        dataset: labelled images.
        batch_size: images per call for the throughput.
        on_step: called with (step, steps done, total steps).

    Returns:
        The results in the order of `candidates`.

    Raises:
        DataError: the data has no labelled images, or labels beyond the classes of a model.

    Example:
        >>> compare(candidates, dataset)[0].accuracy.errors  # doctest: +SKIP
        62
    """
    notify = on_step or (lambda step, done, steps: None)
    steps = len(candidates) * (1 + _ROUNDS)
    wrong = []
    for index, candidate in enumerate(candidates):
        notify(f"predicting {len(dataset):,} images: {candidate.name}", index, steps)
        wrong.append(_is_wrong(candidate, dataset))
    # np.resize repeats the images if there are fewer than `size`
    images = [np.resize(dataset.images, (size, *dataset.image.shape)) for size in (1, batch_size)]
    done = count(len(candidates))
    times_us = round_robin(
        {index: partial(_medians_us, candidate.predict, images) for index, candidate in enumerate(candidates)},
        rounds=_ROUNDS,
        on_turn=lambda index, turn: notify(f"timing {candidates[index].name}", next(done), steps),
    )
    best, differences = differences_to_best(wrong, [candidate.size_bytes for candidate in candidates])
    return [
        ComparedModel(
            **{known.name: getattr(candidate, known.name) for known in fields(DescribedModel)},
            accuracy=Accuracy(int(wrong[index].sum()), len(dataset)),
            difference=None if index == best else differences[index],
            single=_latency(1, [medians[0] for medians in times_us[index]]),
            batch=_latency(batch_size, [medians[1] for medians in times_us[index]]),
        )
        for index, candidate in enumerate(candidates)
    ]


def training_cost(run_folder: Path) -> TrainingCost | None:
    """Read the training cost from `recipe.json` of a run folder; None if there is none or the run is unfinished."""
    try:
        result = read_json(run_folder / "recipe.json")["result"]
        return TrainingCost(int(result["epochs"]), float(result["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def unique_names(models: Sequence[str]) -> list[str]:
    """Shorten names and paths to unique names.

    Each name is the last part of the path, with parent folders if two names are equal; repeated paths are numbered.

    Args:
        models: names and paths from the command line.

    Example:
        >>> unique_names(["edge-int8", "a/model.onnx", "b/model.onnx"])
        ['edge-int8', 'a/model.onnx', 'b/model.onnx']
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


def _is_wrong(candidate: Candidate, dataset: Dataset) -> NDArray[np.bool_]:
    """Return which images a model misclassifies, (N,)."""
    classes = candidate.predict(dataset.images[:1]).shape[1] if len(dataset) else 0
    labels = dataset.labels_for(classes, candidate.name)
    predicted = []
    for start in range(0, len(dataset), _BATCH_SIZE):
        outputs = candidate.predict(dataset.images[start : start + _BATCH_SIZE])
        predicted.append(outputs.argmax(axis=1))
    is_wrong: NDArray[np.bool_] = np.concatenate(predicted) != labels
    return is_wrong


def _medians_us(predict: Predict, batches: Sequence[NDArray[np.uint8]]) -> list[float]:
    """Return the median time of a call for each batch."""
    return [
        measure(partial(predict, batch), warm_up=_WARM_UP, repeats=_REPEATS, seconds=_SECONDS)[1].p50_us
        for batch in batches
    ]


def _latency(batch_size: int, medians_us: Sequence[float]) -> Latency:
    return Latency(batch_size, statistics.median(medians_us), min(medians_us), max(medians_us))
