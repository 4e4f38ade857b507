"""The models that a service answers with: `ServedModels`."""

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

#: How often one image is answered when the service starts, to say how long that takes here.
_TIMED_ANSWERS = 100


@dataclass(frozen=True)
class Batching:
    """How requests share calls of a model.

    Attributes:
        largest: images in a call; 1 answers every request on its own.
        delay_s: how long an image may wait for others.
    """

    largest: int = 256
    delay_s: float = 0.0


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A model, open, with what collects its requests.

    Attributes:
        name: by which it is asked for.
        classifier: the model.
        batcher: answers images with it, those of several requests at once.
        bytes: the file's size.
        latency_us: the median time of one image here, measured when the service was made.
        is_default: whether it is taken where none is named.
    """

    name: str
    classifier: Classifier
    batcher: MicroBatcher
    bytes: int
    latency_us: float
    is_default: bool


class ServedModels:
    """The models of one service, by name."""

    def __init__(
        self,
        models: Sequence[str | os.PathLike[str]],
        *,
        provider: str = "auto",
        threads: int | None = None,
        batching: Batching | None = None,
        metrics: Metrics,
    ) -> None:
        """Open the models, and measure how long each takes for an image.

        Args:
            models: bundled names or files, the default first; none stands for all bundled.
            provider: as `Classifier` takes it.
            threads: as `Classifier` takes it, for each model.
            batching: how requests share calls.
            metrics: count the images of every call.

        Raises:
            ModelError: one cannot be loaded or bound.
            UsageError: two have one name.
        """
        batching = batching or Batching()
        asked = list(models) or [model.name for model in sorted(bundled_models(), key=lambda model: not model.default)]
        self._executors: list[ThreadPoolExecutor] = []
        self._models: dict[str, ServedModel] = {}
        for place, model in enumerate(asked):
            classifier = Classifier(model, provider=provider, threads=threads, images=FEW_IMAGES)
            name = classifier.metadata.name
            if name in self._models:
                raise UsageError(f"{os.fspath(model)} is a second model called {name!r}; name each once")
            # a thread for each model: what one is asked for does not wait for another
            executor = ThreadPoolExecutor(1, thread_name_prefix=name)
            self._executors.append(executor)
            self._models[name] = ServedModel(
                name=name,
                classifier=classifier,
                batcher=MicroBatcher(
                    classifier.predict_batch,
                    executor,
                    largest=batching.largest,
                    delay_s=batching.delay_s,
                    observe=metrics.batch_images.labels(name).observe,
                ),
                bytes=classifier.path.stat().st_size,
                latency_us=_latency_us(classifier),
                is_default=place == 0,
            )

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models.values())

    def find(self, name: str | None) -> ServedModel:
        """A model by its name, with its precision or without; the default where none is named.

        Of several precisions the one is taken that predicted an image fastest when the service started.

        Raises:
            UnknownModelError: there is none of that name.
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
        raise UnknownModelError(f"no model is called {name!r}; there are {', '.join(self._models)}")

    def start(self) -> None:
        """Begin to answer, in the running event loop."""
        for model in self:
            model.batcher.start()

    async def stop(self) -> None:
        """Answer no more, and free the models."""
        await asyncio.gather(*(model.batcher.stop() for model in self))
        for executor in self._executors:
            executor.shutdown(wait=False, cancel_futures=True)  # who asked has been told
        for model in self:
            model.classifier.close()


def _latency_us(classifier: Classifier) -> float:
    _, counted = measure(partial(classifier.predict_batch, classifier.golden.images[:1]), repeats=_TIMED_ANSWERS)
    return counted.p50_us
