"""Models of a service, each with the queue of its requests: `ServedModels`."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from digits_edge.runtime.checks.latency import measure
from digits_edge.runtime.classifier import FEW_IMAGES, Classifier
from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.model.bundled import bundled_models
from digits_edge.runtime.service.batching import MicroBatcher
from digits_edge.runtime.service.metrics import Metrics
from digits_edge.runtime.service.responses import UnknownModelError

#: Number of runs for the latency that the service reports.
_LATENCY_RUNS = 100


@dataclass(frozen=True)
class Batching:
    """Settings of the micro-batching.

    Attributes:
        largest: maximum number of images in a batch; 1 runs every request on its own.
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
            self._executors.append(executor)
            self._models[name] = ServedModel(
                name=name,
                classifier=classifier,
                batcher=MicroBatcher(
                    # a batch has images of several requests, which are checked one by one
                    partial(classifier.predict_batch, pixel_range=255),
                    executor,
                    largest=batching.largest,
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
    _, latency = measure(partial(classifier.predict_batch, classifier.golden.images[:1]), repeats=_LATENCY_RUNS)
    return latency.p50_us
