"""Models of a service, each with the queue of its requests: `ServedModels`."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.checks.latency import measure
from digits_edge.runtime.classifier import FEW_IMAGES, MAX_BATCH, Classifier
from digits_edge.runtime.errors import SequenceModelError, UsageError
from digits_edge.runtime.model.bundled import bundled_models
from digits_edge.runtime.reader.reader import Reader
from digits_edge.runtime.service.batching import MicroBatcher
from digits_edge.runtime.service.limits import Batching
from digits_edge.runtime.service.metrics import Metrics
from digits_edge.runtime.service.responses import UnknownModelError
from digits_edge.runtime.session.bound_session import MIN_PART

#: Number of runs for the latency that the service reports: minimum and maximum, and time for them, in microseconds.
_MIN_LATENCY_RUNS, _MAX_LATENCY_RUNS, _LATENCY_TIME_US = 5, 100, 1e6
#: Batches that take no longer, in microseconds, run in the event loop, which cannot respond to others meanwhile.
_INLINE_US = 4000.0
#: Maximum number of pixel values in a call of a model: 2,675 digits, or 75 colour images of 96×96. Larger calls need
#: memory for the activations and are not faster.
MAX_VALUES = 2**21


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


@dataclass(frozen=True, eq=False)
class ServedReader:
    """An open sequence model, which reads numbers.

    Attributes:
        name: name of the model in requests.
        reader: the model.
        executor: its only thread; lines have different widths, so requests are not joined to batches.
        bytes: size of the model file.
    """

    name: str
    reader: Reader
    executor: ThreadPoolExecutor
    bytes: int

    async def columns(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the columns of lines of the same width, uint8 (N, 32, W), as float32 (N, T, K+1)."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, self.reader.model.batch, images)


class ServedModels:
    """Models of one service, by name: those that classify, and `readers`, which read numbers.

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
        self.readers: dict[str, ServedReader] = {}
        for source in sources:
            try:
                classifier = Classifier(source, provider=provider, threads=threads, images=FEW_IMAGES)
            except SequenceModelError:
                self._add_reader(Reader(source, provider=provider, threads=threads), source)
                continue
            name = classifier.metadata.name
            self._refuse_second(name, source)
            # one thread per model, so that requests to one model do not wait for another model
            executor = ThreadPoolExecutor(1, thread_name_prefix=name)
            latency_us = _latency_us(classifier)
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
                    inline=_inline(classifier, latency_us),
                    observe=metrics.batch_images.labels(name).observe,
                ),
                bytes=classifier.path.stat().st_size,
                latency_us=latency_us,
                is_default=not self._models,
            )

    def _add_reader(self, reader: Reader, source: str | os.PathLike[str]) -> None:
        name = reader.metadata.name
        self._refuse_second(name, source)
        executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._executors.append(executor)
        self.readers[name] = ServedReader(name, reader, executor, reader.path.stat().st_size)

    def _refuse_second(self, name: str, source: str | os.PathLike[str]) -> None:
        if name in self._models or name in self.readers:
            raise UsageError(f"{os.fspath(source)} is a second model named {name!r}; give each model once")

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
        if name is None and self._models:
            return next(iter(self))
        if name in self._models:
            return self._models[name]
        precisions = [
            model for model in self if name == model.name.removesuffix(f"-{model.classifier.metadata.precision}")
        ]
        if name is not None and precisions:
            return min(precisions, key=lambda model: model.latency_us)
        if name in self.readers:
            raise UnknownModelError(f"model {name!r} reads numbers; use POST /read")
        if not self._models:
            raise UnknownModelError("no model of the service classifies pictures; use POST /read")
        raise UnknownModelError(f"unknown model {name!r}; available models: {', '.join(self._models)}")

    def find_reader(self, name: str | None) -> ServedReader:
        """Find a model that reads numbers.

        Args:
            name: name of a model, with or without its precision; None for the first one.

        Raises:
            UnknownModelError: no model matches.
        """
        for reader in self.readers.values():
            if name in (None, reader.name, reader.name.removesuffix(f"-{reader.reader.metadata.precision}")):
                return reader
        if not self.readers:
            raise UnknownModelError("no model of the service reads numbers; start it with --model number")
        raise UnknownModelError(f"unknown model {name!r}; models that read numbers: {', '.join(self.readers)}")

    @cached_property
    def reader_names(self) -> frozenset[str]:
        """Names of the models that read numbers, with and without their precision."""
        short = (name.removesuffix(f"-{each.reader.metadata.precision}") for name, each in self.readers.items())
        return frozenset({*self.readers, *short})

    def start(self) -> None:
        """Start to run requests in the current event loop."""
        for model in self:
            model.batcher.start()

    async def stop(self) -> None:
        """Cancel the requests in the queues and close the models."""
        await asyncio.gather(*(model.batcher.stop() for model in self))
        self.close()

    def close(self) -> None:
        """Close the models of a service that does not run."""
        for executor in self._executors:
            executor.shutdown(wait=False, cancel_futures=True)  # the requests are cancelled already
        for model in self:
            model.classifier.close()
        for reader in self.readers.values():
            reader.reader.close()


def _inline(classifier: Classifier, latency_us: float) -> int:
    """The number of images of the largest batch that may run in the event loop.

    Accelerators and batches for several threads wait for other calls, so they do not run there.
    """
    if classifier.provider != "cpu":
        return 0
    images = int(_INLINE_US / latency_us)  # in batches, an image takes less time
    return images if classifier.threads == 1 else min(images, 2 * MIN_PART - 1)


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
