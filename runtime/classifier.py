"""`Classifier`: an open model file that reads digits."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeGuard

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import ImageError, ModelError, UsageError, one_line
from digits_edge.runtime.model.bundled import MODELS
from digits_edge.runtime.model.model_file import (
    GOLDEN_KEY,
    INPUT_NAME,
    METADATA_KEY,
    OUTPUT_NAME,
    Metadata,
    read_model_file,
)
from digits_edge.runtime.prediction import Prediction, Status
from digits_edge.runtime.session.bound_session import BoundSession
from digits_edge.runtime.session.precision import Way, ways_to_run
from digits_edge.runtime.session.providers import (
    AUTO,
    available_providers,
    full_name,
    open_session,
    short_name,
)
from digits_edge.runtime.session.threads import thread_count

if TYPE_CHECKING:
    from PIL.Image import Image

    from digits_edge.runtime.model.golden import GoldenValues
    from digits_edge.runtime.preprocessing.mnist_format import PreparedPicture
    from digits_edge.runtime.preprocessing.pictures import PictureSource

#: Images that go to onnxruntime at once; its memory grows with them, its speed no longer does.
MAX_BATCH = 1024
#: Fewer are predicted by the CPU provider before another has been imported, opened and warmed up.
FEW_IMAGES = 5000
#: A first batch of so many is the first of many batches.
TRIAL_IMAGES = 256
_IMAGE_SHAPE = (28, 28)
_PIXELS = 784

FloatArray = NDArray[np.float32]


class Classifier:
    """A model file, opened and ready.

    Threads may share one. It can be pickled: what is pickled is the model's name or path and the provider that was
    bound, and it is opened anew, also by a process that was forked (onnxruntime's threads do not survive a fork). It is
    a context manager; `close` frees the model's memory.

    Attributes:
        path: the model file.
        metadata: what the file says of itself.
        labels: the classes' names, in the order of the columns of `predict_batch`.
        provider: short name of the provider that was bound.
        threads: how many compute a batch together.
        exact_kernels: whether slower int8 kernels were selected, because the usual ones may overflow here with the
            weights of this file; no file that `export` makes needs them.
    """

    path: Path
    metadata: Metadata
    labels: tuple[str, ...]
    provider: str
    threads: int
    exact_kernels: bool
    _run: Callable[[NDArray[np.uint8]], FloatArray]

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        provider: str = AUTO,
        threads: int | None = None,
        images: int | None = None,
        single_image: bool = False,
    ) -> None:
        """Open a model.

        Args:
            model: a bundled name with its precision (`edge-int8`), or without (`edge`) for the precision that is
                fastest here; a path; None for the bundled default model in that precision.
            provider: "cpu", "openvino", "cuda" or another that onnxruntime knows; "auto" for the one that is fastest
                here.
            threads: how many share the images of a batch, and one image is answered by one; None for as many as this
                process may use.
            images: how many will be predicted at most, if that is known. It says how precision and provider are
                chosen where that is left open. For `FEW_IMAGES` and more, by a short trial, which is made once a week
                (`digits_edge.runtime.session.trial`). For fewer, by rule: the CPU provider, and int8 where the processor has
                instructions for it. Without a number, by rule too, unless the first images come in a batch of
                `TRIAL_IMAGES` or more: then by the trial, and the attributes change once.
            single_image: open for images that come singly, as at a till: OpenVINO then takes 0.88 of the time for one
                (Intel Xeon), and batches are answered image by image.

        Raises:
            ModelError: no such model, not a whole model file, or the provider cannot be bound.
            UsageError: no such provider, or fewer than one thread.
        """

        def bind(path: Path, name: str) -> BoundSession:
            return open_session(read_model_file(path), name, threads, single_image=single_image, origin=str(path))

        ways = _ways(model, provider, images)
        self._asked: tuple[Any, ...] = (threads, single_image)
        if len(ways) == 1 or images is None:
            self._use(ways[0].file, bind(ways[0].file, ways[0].provider))
        else:
            self._use(*_fastest(bind, ways, threads))
        if len(ways) > 1 and images is None:
            self._first_images = _FirstImages(self._run, lambda: self._use(*_fastest(bind, ways, threads)))
            self._run = self._run_first

    def _use(self, path: Path, bound: BoundSession) -> None:
        """Let a session predict from now on."""
        self.path = path
        self.provider, self.threads, self.exact_kernels = bound.provider, bound.threads, bound.exact_kernels
        self.metadata, self._packed_golden = _contents(bound, path)
        self.labels = self.metadata.labels
        self.__dict__.pop("golden", None)
        self._run = bound.run

    def _run_first(self, images: NDArray[np.uint8]) -> FloatArray:
        """Predict the first images, by which it is decided how all are predicted."""
        first = self._first_images
        with first.lock:
            if self._run == self._run_first:
                if len(images) >= TRIAL_IMAGES:
                    first.choose()
                else:
                    self._run = first.run
        return self._run(images)

    def predict(self, source: "PictureSource") -> Prediction:
        """Read the digit in one picture.

        Args:
            source: a path, the bytes of a file, a binary file object, a Pillow image or an array. A uint8 (28, 28)
                array is an image, white ink on black, and taken as it is; everything else is a picture and brought to
                that form first.

        Raises:
            ImageError: the picture cannot be read.
        """
        image = source if _is_image(source) else self.prepare(source).image
        return self.prediction(image, self.predict_batch(image[np.newaxis])[0])

    def prediction(self, image: NDArray[np.uint8], probabilities: FloatArray) -> Prediction:
        """What `predict` says of an image whose probabilities are known.

        Args:
            image: uint8 (28, 28), white ink on black; a blank one has no digit, whatever the probabilities are.
            probabilities: float32 (C,), what `predict_batch` answered for it.
        """
        if not image.any():
            nothing = (0.0,) * len(self.labels)
            return Prediction(None, None, 0.0, nothing, "blank", self.labels, self.provider)
        digit = int(probabilities.argmax())
        confidence = float(probabilities[digit])
        status: Status = "uncertain" if confidence < self.metadata.uncertain_below else "ok"
        return Prediction(
            digit=digit,
            label=self.labels[digit],
            confidence=confidence,
            probabilities=tuple(probabilities.tolist()),
            status=status,
            labels=self.labels,
            provider=self.provider,
        )

    def prepare(self, source: "PictureSource") -> "PreparedPicture":
        """Bring a picture to the form of the images that this model was trained on, and keep the steps.

        Args:
            source: as `predict` takes it; a uint8 (28, 28) array is a picture here.

        Raises:
            ImageError: the picture cannot be read.
        """
        from digits_edge.runtime.preprocessing.pictures import (
            open_picture,  # who has only images need not wait for Pillow
        )

        return self.form(open_picture(source))

    @property
    def form(self) -> "Callable[[Image], PreparedPicture]":
        """What brings a picture, as `open_picture` returns it, to the form of this model's images."""
        from digits_edge.runtime.preprocessing.picture_format import picture_format

        return picture_format(self.metadata.preprocessing)

    def predict_batch(self, images: NDArray[np.uint8]) -> FloatArray:
        """Probabilities of the classes for a batch of images.

        Args:
            images: uint8, (N, 28, 28) or (N, 784), white ink on black. N may be 0, and as large as memory: at most
                `MAX_BATCH` go to onnxruntime at once.

        Returns:
            float32, (N, C), rows summing to 1; columns in the order of `labels`.

        Raises:
            ImageError: another dtype or shape; names the axis.
            ModelError: the provider failed.
            UsageError: the classifier is closed.
        """
        try:
            images = np.asarray(images)
        except ValueError as error:
            raise ImageError(f"images do not make one array ({error}); they must all be (28, 28)") from error
        if images.dtype != np.uint8 or images.shape[1:] != _IMAGE_SHAPE:
            images = _as_images(images)
        try:
            if 0 < len(images) <= MAX_BATCH:
                return self._run(images)
            answers = np.empty((len(images), len(self.labels)), np.float32)
            for start in range(0, len(images), MAX_BATCH):
                part = slice(start, start + MAX_BATCH)
                answers[part] = self._run(images[part])
        except UsageError:
            raise
        except Exception as error:
            raise ModelError(f"{self.path} could not be run by {self.provider}: {one_line(error)}") from error
        return answers

    @cached_property
    def golden(self) -> "GoldenValues":
        """The reference images in the file, and what Keras answered for them.

        Raises:
            ModelError: they cannot be read.
        """
        from digits_edge.runtime.model.golden import GoldenValues

        return GoldenValues.unpack(self._packed_golden)

    def close(self) -> None:
        """Free the model's memory; the classifier cannot be used afterwards. Closing again does nothing."""
        self._run = _closed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        # a bundled model is found again by its name, in whatever place another process has it
        model = self.path.stem if self.path.parent == MODELS else self.path.absolute()
        return _reopened, (model, self.provider, *self._asked)

    def __repr__(self) -> str:
        return f"<Classifier {self.metadata.name} provider={self.provider} threads={self.threads}>"


def _reopened(
    model: str | os.PathLike[str] | None, provider: str, threads: int | None, single_image: bool
) -> Classifier:
    return Classifier(model, provider=provider, threads=threads, single_image=single_image)


@dataclass(frozen=True, eq=False)
class _FirstImages:
    """What waits for the first images: how to run them by rule, and what makes a trial instead."""

    run: Callable[[NDArray[np.uint8]], FloatArray]
    choose: Callable[[], None]
    lock: Lock = field(default_factory=Lock)


def _ways(model: str | os.PathLike[str] | None, provider: str, images: int | None) -> list[Way]:
    """The ways to run a model that come into question, the one first that the rule chooses."""
    chosen = None if provider.lower() == AUTO else short_name(full_name(provider))
    if images is not None and images < FEW_IMAGES:
        return ways_to_run(model, [chosen or "cpu"])[:1]
    return ways_to_run(model, available_providers() if chosen is None else [chosen])


def _fastest(
    bind: Callable[[Path, str], BoundSession], ways: list[Way], threads: int | None
) -> tuple[Path, BoundSession]:
    from digits_edge.runtime.session.trial import choose  # a start with few pictures does without what it imports

    return choose(lambda way: bind(way.file, way.provider), ways, thread_count(threads))


def _closed(*_: object) -> NoReturn:
    raise UsageError("the classifier is closed; open another")


def _is_image(source: object) -> TypeGuard[NDArray[np.uint8]]:
    return isinstance(source, np.ndarray) and source.dtype == np.uint8 and source.shape == _IMAGE_SHAPE


def _as_images(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Images as uint8 (N, 28, 28); the rare cases, kept out of the way of the others."""
    if images.dtype != np.uint8:
        raise ImageError(f"images are {images.dtype}; they must be uint8, 0 to 255, white ink on black")
    if images.shape == _IMAGE_SHAPE:
        raise ImageError("images are (28, 28); a batch has a first axis: write images[np.newaxis]")
    if images.ndim == 2 and images.shape[1] == _PIXELS:
        return images.reshape(-1, *_IMAGE_SHAPE)
    if images.ndim not in (2, 3):
        raise ImageError(f"images have {images.ndim} axes; they must be (N, 28, 28) or (N, 784)")
    expected = (_PIXELS,) if images.ndim == 2 else _IMAGE_SHAPE
    axis = next(axis for axis, size in enumerate(expected, start=1) if images.shape[axis] != size)
    raise ImageError(
        f"axis {axis} of the images is {images.shape[axis]}, not {expected[axis - 1]}; "
        "they must be (N, 28, 28) or (N, 784)"
    )


def _contents(bound: BoundSession, path: Path) -> tuple[Metadata, str]:
    """What the file says of itself, and its packed golden answers, once its graph keeps the contract."""
    session = bound.session
    try:
        properties: dict[str, str] = session.get_modelmeta().custom_metadata_map
        metadata, golden = Metadata.from_json(properties[METADATA_KEY]), properties[GOLDEN_KEY]
    except KeyError as error:
        raise ModelError(f"{path} has no metadata {error}; `digits-edge export` makes files that have it") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} has metadata that are no text; export it again") from error
    except ModelError as error:
        raise ModelError(f"{path} has {error}") from error
    ends = (*session.get_inputs(), *session.get_outputs())
    found = [(node.name, node.type, node.shape[1:]) for node in ends]
    sizes = [size for node in ends for size in node.shape[:1]]
    free = all(size == 1 if bound.single_image else not isinstance(size, int) for size in sizes)
    expected = [
        (INPUT_NAME, "tensor(uint8)", list(_IMAGE_SHAPE)),
        (OUTPUT_NAME, "tensor(float)", [len(metadata.labels)]),
    ]
    if found != expected or not free:
        raise ModelError(
            f"{path} takes and gives {found}, not {expected} for any N; `digits-edge export` makes such a file"
        )
    return metadata, golden
