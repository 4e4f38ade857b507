"""Models of a service, each with the queue of its requests: `ServedModels`."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.checks.latency import measure
from digits_edge.runtime.classifier import FEW_IMAGES, MAX_BATCH, Classifier
from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.model.bundled import bundled_models
from digits_edge.runtime.service.batching import MicroBatcher
from digits_edge.runtime.service.metrics import Metrics
from digits_edge.runtime.service.responses import UnknownModelError

#: Number of runs for the latency that the service reports: minimum and maximum, and time for them, in microseconds.
_MIN_LATENCY_RUNS, _MAX_LATENCY_RUNS, _LATENCY_TIME_US = 5, 100, 1e6
#: Maximum number of pixel values in a call of a model: 2,675 digits, or 75 colour images of 96×96. Larger calls need
#: memory for the activations and are not faster.
MAX_VALUES = 2**21


@dataclass(frozen=True)
class Batching:
    """Settings of the micro-batching.

    Attributes:
        largest: maximum number of images in a batch; 1 runs every request on its own. Batches of large images are
            smaller, see `MAX_VALUES`.
        delay_s: time that a request may wait for others to fill the batch, in seconds.
    """

    largest: int = 256
    delay_s: float = 0.0


@dataclass(frozen=True, eq=False)
class ServedModel:
    """An open model and the queue of its requests.

    Attributes:
        name: name of the model in requests.
        classifier: the model.
        batcher: queue of the requests to the model.
        bytes: size of the model file.
        latency_us: median latency of one image, measured when the service starts, in microseconds.
        is_default: whether the model is used for requests that name no model.
    """

    name: str
    classifier: Classifier
    batcher: MicroBatcher
    bytes: int
    latency_us: float
    is_default: bool


class ServedModels:
    """Models of one service, by name.

    Example:
        >>> models = ServedModels(["edge-int8", "fashion-int8"], metrics=Metrics())  # doctest: +SKIP
        >>> models.find("fashion").name  # doctest: +SKIP
        'fashion-int8'
    """

    def __init__(
        self,
        models: Sequence[str | os.PathLike[str]],
        *,
        provider: str = "auto",
        threads: int | None = None,
        batching: Batching | None = None,
        metrics: Metrics,
    ) -> None:
        """Open the models and measure the latency of each.

        Args:
            models: names of bundled models or paths of model files, the default first; all bundled models if empty.
            provider: execution provider, as for `Classifier`.
            threads: number of threads of each model, as for `Classifier`.
            batching: settings of the micro-batching.
            metrics: records the number of images of each batch.

        Raises:
            ModelError: a model cannot be loaded or bound to the provider.
            UsageError: two models have the same name.
        """
        batching = batching or Batching()
        sources = list(models) or [
            model.name for model in sorted(bundled_models(), key=lambda model: not model.default)
        ]
        self._executors: list[ThreadPoolExecutor] = []
        self._models: dict[str, ServedModel] = {}
        for index, source in enumerate(sources):
            classifier = Classifier(source, provider=provider, threads=threads, images=FEW_IMAGES)
            name = classifier.metadata.name
            if name in self._models:
                raise UsageError(f"{os.fspath(source)} is a second model named {name!r}; give each model once")
            # one thread per model, so that requests to one model do not wait for another model
            executor = ThreadPoolExecutor(1, thread_name_prefix=name)
            per_call = min(MAX_BATCH, max(1, MAX_VALUES // classifier.metadata.input.pixels))
            self._executors.append(executor)
            self._models[name] = ServedModel(
                name=name,
                classifier=classifier,
                batcher=MicroBatcher(
                    partial(_predict_in_parts, classifier, per_call),
                    executor,
                    largest=min(batching.largest, per_call),
                    delay_s=batching.delay_s,
                    observe=metrics.batch_images.labels(name).observe,
                ),
                bytes=classifier.path.stat().st_size,
                latency_us=_latency_us(classifier),
                is_default=index == 0,
            )

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models.values())

    def find(self, name: str | None) -> ServedModel:
        """Find a model.

        Args:
            name: name of a model, with or without its precision; None for the default model. If several precisions
                match, the one with the lowest latency is used.

        Raises:
            UnknownModelError: no model matches.
        """
        if name is None:
            return next(iter(self))
        if name in self._models:
            return self._models[name]
        precisions = [
            model for model in self if name == model.name.removesuffix(f"-{model.classifier.metadata.precision}")
        ]
        if precisions:
            return min(precisions, key=lambda model: model.latency_us)
        raise UnknownModelError(f"unknown model {name!r}; available models: {', '.join(self._models)}")

    def start(self) -> None:
        """Start to run requests in the current event loop."""
        for model in self:
            model.batcher.start()

    async def stop(self) -> None:
        """Cancel the requests in the queues and close the models."""
        await asyncio.gather(*(model.batcher.stop() for model in self))
        for executor in self._executors:
            executor.shutdown(wait=False, cancel_futures=True)  # the requests are cancelled already
        for model in self:
            model.classifier.close()


def _latency_us(classifier: Classifier) -> float:
    run = partial(classifier.predict_batch, classifier.golden.images[:1], pixel_range=255)
    _, first = measure(run, warm_up=1, repeats=1)
    runs = min(max(int(_LATENCY_TIME_US / first.p50_us), _MIN_LATENCY_RUNS), _MAX_LATENCY_RUNS)
    return measure(run, warm_up=1 + runs // 10, repeats=runs)[1].p50_us


def _predict_in_parts(classifier: Classifier, size: int, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Predict the images of a batch in calls of at most `size` images; the requests are checked one by one before."""
    parts = [images[start : start + size] for start in range(0, len(images), size)] or [images]
    found = [classifier.predict_batch(part, pixel_range=255) for part in parts]
    return found[0] if len(found) == 1 else np.concatenate(found)
