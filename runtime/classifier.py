"""`Classifier`: the main class of the package, a loaded model that classifies pictures."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import ImageError, ModelError, UsageError, one_line
from digits_edge.runtime.model.contents import contents, refuse_sequence
from digits_edge.runtime.model.model_file import read_model_file
from digits_edge.runtime.model.steps import reads_ink
from digits_edge.runtime.model_inputs import as_inputs, refuse_scaled, unscaled_inputs
from digits_edge.runtime.opened_model import OpenedModel
from digits_edge.runtime.pixel_scale import PixelScale
from digits_edge.runtime.prediction import Prediction, Status
from digits_edge.runtime.session.bound_session import BoundSession
from digits_edge.runtime.session.precision import Way, open_first, ways_to_run
from digits_edge.runtime.session.provider_names import AUTO, ON_PROCESSOR, available_providers, parse_provider
from digits_edge.runtime.session.providers import open_session
from digits_edge.runtime.session.threads import thread_count

if TYPE_CHECKING:
    from digits_edge.runtime.model.golden import GoldenValues
    from digits_edge.runtime.preprocessing.levels import Box
    from digits_edge.runtime.preprocessing.pictures import PictureSource
    from digits_edge.runtime.preprocessing.prepared import PreparedPicture
    from digits_edge.runtime.preprocessing.steps import PictureForm

#: Maximum number of images per onnxruntime call. Larger calls need more memory and are not faster.
MAX_BATCH = 1024
#: The CPU provider predicts fewer images than this before another provider is imported, opened and warmed up.
FEW_IMAGES = 5000
#: Minimum size of a first batch that starts a speed trial.
TRIAL_IMAGES = 256

FloatArray = NDArray[np.float32]
_LOST_DEVICE = "if its device was lost, restart the program, or close all classifiers and open new ones"


class Classifier(OpenedModel):
    """An image classifier, of digits by default: a loaded model file, bound to an execution provider of onnxruntime.

    A classifier can be shared by threads and can be pickled. The pickle contains the model's name or path and the bound
    provider; unpickling opens the model again, also in a forked process (onnxruntime's threads do not survive a fork).
    It is a context manager; `close` frees the model's memory.

    Attributes:
        path: path of the model file.
        metadata: description of the model, as stored in the file.
        labels: names of the C classes, in the order of the columns of `predict_batch`.
        provider: short name of the bound execution provider, such as "cpu"; with the device if one was named.
        threads: number of threads that share a batch.
        exact_kernels: whether slower int8 kernels are in use, because the default ones could overflow on this processor
            with the weights of this file. Files written by this version of digits-edge never need them.

    Example:
        Classify one picture. `predict` also accepts a path, the bytes of a file, a Pillow image or an array:

        >>> from digits_edge.runtime import Classifier, ImageError, InputError, ModelError
        >>> from PIL import Image, ImageDraw
        >>> page = Image.new("L", (200, 200), "white")
        >>> ImageDraw.Draw(page).line([(60, 50), (140, 50), (100, 160)], fill="black", width=14)
        >>> classifier = Classifier("edge-int8", provider="cpu")
        >>> prediction = classifier.predict(page)
        >>> prediction.label, prediction.digit, prediction.status
        ('7', 7, 'ok')
        >>> prediction.confidence > 0.9, len(prediction.probabilities)
        (True, 10)

        The three most probable classes:

        >>> for label, probability in prediction.top(3):
        ...     print(f"{label}: {probability:.1%}")  # doctest: +SKIP
        7: 100.0%
        2: 0.0%
        9: 0.0%
        >>> [label for label, _ in prediction.top(3)][0]
        '7'

        A batch of images in MNIST format, here the ten first reference images of the file:

        >>> images = classifier.golden.images[:10]
        >>> images.shape, images.dtype
        ((10, 28, 28), dtype('uint8'))
        >>> classifier.predict_batch(images).argmax(axis=1).tolist()
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]

        Exceptions. `InputError` includes `ImageError`; `DigitsEdgeError` includes all of them:

        >>> try:
        ...     Classifier("edge-int8", provider="cpu").predict("no-such-picture.png")
        ... except ModelError:
        ...     print("the model or the provider is not usable")
        ... except ImageError:
        ...     print("the file is not a picture")
        ... except InputError:
        ...     print("the file cannot be read")
        the file cannot be read
    """

    labels: tuple[str, ...]
    exact_kernels: bool
    _run: Callable[[NDArray[np.uint8]], FloatArray]
    _shape: tuple[int, ...]

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
            model: name of a bundled model with precision (`edge-int8`); name without precision (`edge`), which selects
                the precision that is fastest on this machine; path of a model file; None for the default model in the
                fastest precision.
            provider: "cpu", "openvino", "webgpu", "cuda" or another execution provider of onnxruntime; "openvino:gpu"
                or "cuda:1" for one of several devices; "auto" for the provider that is fastest on this machine.
            threads: number of threads that share the images of a batch, 1 to 1024; None for all that this process may
                use. The CPU provider computes a single image with one thread.
            images: expected number of images, if known. It decides how an unspecified precision or provider is
                selected. `FEW_IMAGES` or more: by a short speed trial, whose result is stored for a week
                (`digits_edge.runtime.session.trial`). Fewer: by rule, which is the CPU provider, and int8 if the
                processor has instructions for it. None: by rule, unless the first batch has `TRIAL_IMAGES` images or
                more; a trial then runs, and `path`, `provider` and the other attributes may change once.
            single_image: optimize for single images. OpenVINO is then 1.1× faster for one image (Intel Xeon); batches
                are computed image by image.

        Raises:
            ModelError: the model does not exist, its file is damaged, or the provider cannot be bound.
            UsageError: the provider is unknown, or `threads` is out of range.

        Example:
            >>> classifier = Classifier("edge-int8", provider="cpu", threads=1)
            >>> classifier
            <Classifier edge-int8 provider=cpu threads=1>
            >>> classifier.close()
            >>> Classifier("my-model.onnx", provider="cuda")  # doctest: +SKIP
        """

        def bind(way: Way) -> BoundSession:
            content, origin = read_model_file(way.file), str(way.file)
            return open_session(content, way.provider, threads, single_image=single_image, origin=origin)

        ways = _ways(model, provider)
        self._wanted_threads, self._single_image = threads, single_image
        if len(ways) == 1 or images is None or images < FEW_IMAGES:
            self._use(*open_first(bind, ways))
        else:
            self._use(*_fastest(bind, ways, threads))
        if len(ways) > 1 and images is None:
            self._first_images = _FirstImages(self._run, lambda: self._use(*_fastest(bind, ways, threads)))
            self._run = self._run_first

    def _use(self, path: Path, bound: BoundSession) -> None:
        """Replace the session and the attributes that describe it."""
        self.path = path
        self.provider, self.threads, self.exact_kernels = bound.provider, bound.threads, bound.exact_kernels
        self.metadata, self._packed_golden = contents(bound.session, path, single_image=bound.single_image)
        refuse_sequence(self.metadata, path)
        self.labels, self._shape = self.metadata.labels, self.metadata.input.shape
        self.__dict__.pop("golden", None)
        self._run = bound.run

    def _run_first(self, images: NDArray[np.uint8]) -> FloatArray:
        """Predict the first batch; its size decides whether a speed trial selects the session."""
        first = self._first_images
        with first.lock:
            if self._run == self._run_first:
                if len(images) >= TRIAL_IMAGES:
                    first.choose()
                else:
                    self._run = first.run
        return self._run(images)

    def predict(self, source: "PictureSource") -> Prediction:
        """Classify one picture.

        Args:
            source: a path, the bytes of a file, a binary file object, a Pillow image or an array. A uint8 array of the
                shape of the model's input, for digits (28, 28), is such an input (white ink on black) and used
                unchanged. Any other source is converted to the input of the model first, see `prepare`.

        Returns:
            The prediction; its `status` is "blank" if the picture has no ink, and "several" if it has several digits.

        Raises:
            ImageError: the source is not a picture, or is damaged.
            InputError: the file cannot be read.
            ModelError: the provider failed.
            UsageError: the classifier is closed.

        Example:
            >>> import numpy as np
            >>> with Classifier("edge-int8", provider="cpu") as classifier:
            ...     blank = classifier.predict(np.zeros((28, 28), np.uint8))
            >>> blank.status, blank.label, blank.confidence
            ('blank', None, 0.0)
        """
        if self._is_input(source):
            return self.prediction(source, self.predict_batch(source[np.newaxis])[0])
        prepared = self.prepare(source)
        return self.prediction(prepared.image, self.predict_batch(prepared.image[np.newaxis])[0], prepared.boxes)

    def prediction(
        self, image: NDArray[np.uint8], probabilities: FloatArray, boxes: "Sequence[Box]" = ()
    ) -> Prediction:
        """Create the `Prediction` of an image whose probabilities are known.

        Args:
            image: uint8, an input of the model. If the model reads ink and it is all zeros, the status is "blank".
            probabilities: float32 (C,), the row of `predict_batch` for this image.
            boxes: boxes of the digits in the picture. If there are several, the status is "several".

        Example:
            >>> with Classifier("edge-int8", provider="cpu") as classifier:
            ...     images = classifier.golden.images[:3]
            ...     rows = classifier.predict_batch(images)
            ...     [classifier.prediction(image, row).label for image, row in zip(images, rows)]
            ['0', '1', '2']
        """
        boxes = tuple(boxes)
        if len(boxes) > 1 or (reads_ink(self.metadata.preprocessing) and not image.any()):
            zeros = (0.0,) * len(self.labels)
            no_digit: Status = "several" if len(boxes) > 1 else "blank"
            return Prediction(None, None, 0.0, zeros, no_digit, self.labels, self.provider, boxes)
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
            boxes=boxes,
        )

    def prepare(self, source: "PictureSource") -> "PreparedPicture":
        """Convert a picture to the input of this model, and record the stages.

        Args:
            source: as in `predict`, but an array of the shape of the input is a picture here and converted too.

        Raises:
            ImageError: the source is not a picture, or is damaged.
            InputError: the file cannot be read.

        Example:
            >>> from PIL import Image
            >>> page = Image.new("L", (200, 200), "white")
            >>> page.paste("black", (80, 40, 120, 160))
            >>> prepared = Classifier("edge-int8", provider="cpu").prepare(page)
            >>> prepared.image.shape, prepared.image.dtype
            ((28, 28), dtype('uint8'))
        """
        # deferred: callers with arrays do not need Pillow
        from digits_edge.runtime.preprocessing.pictures import open_picture

        return self.form(open_picture(source))

    @property
    def form(self) -> "PictureForm":
        """The function that converts a picture, as returned by `open_picture`, to the input format of this model."""
        from digits_edge.runtime.preprocessing.steps import PictureForm

        return PictureForm(self.metadata.preprocessing, self.metadata.input)

    def predict_batch(self, images: NDArray[Any], *, pixel_range: PixelScale | None = None) -> FloatArray:
        """Predict the class probabilities of a batch of images.

        Args:
            images: uint8, inputs of the model, for digits (N, 28, 28) or (N, 784), white ink on black. N may be 0 or
                larger than `MAX_BATCH`: at most `MAX_BATCH` images are passed to onnxruntime per call.
            pixel_range: 255 for pixels from 0 to 255; 1 for pixels from 0 to 1 of any dtype, which are converted and
                rounded; None for 255 and an error if several images have ink but no pixel above 1, because they are
                probably scaled to 0–1 (`digits_edge.runtime.pixel_scale`).

        Returns:
            float32, (N, C); the columns are in the order of `labels`. Each row sums to 1, unless `metadata.output` is
            "sigmoid".

        Raises:
            ImageError: wrong dtype, shape or pixel range; the message names the axis.
            ModelError: the provider failed.
            UsageError: the classifier is closed.

        Example:
            >>> with Classifier("edge-int8", provider="cpu") as classifier:
            ...     probabilities = classifier.predict_batch(classifier.golden.images)
            ...     top_three = probabilities.argsort(axis=1)[:, :-4:-1]
            >>> probabilities.shape, top_three.shape
            ((48, 10), (48, 3))
            >>> [classifier.labels[column] for column in top_three[:5, 0]]
            ['0', '1', '2', '3', '4']
        """
        try:
            images = np.asarray(images)
        except ValueError as error:
            raise ImageError(f"the images have different shapes ({error}); use shape {self._shape} for all") from error
        if pixel_range == 1:
            images = unscaled_inputs(images)
        if images.dtype != np.uint8 or images.shape[1:] != self._shape:
            images = as_inputs(images, self._shape)
        if pixel_range is None:
            refuse_scaled(images)
        try:
            if 0 < len(images) <= MAX_BATCH:
                return self._run(images)
            probabilities = np.empty((len(images), len(self.labels)), np.float32)
            for start in range(0, len(images), MAX_BATCH):
                part = slice(start, start + MAX_BATCH)
                probabilities[part] = self._run(images[part])
        except UsageError:
            raise
        except Exception as error:
            remedy = "" if self.provider in ON_PROCESSOR else f"; {_LOST_DEVICE}"
            reason = f"{one_line(error)}{remedy}"
            raise ModelError(f"{self.path} could not be run by provider {self.provider}: {reason}") from error
        return probabilities

    @cached_property
    def golden(self) -> "GoldenValues":
        """The reference images in the file and their expected probabilities.

        Raises:
            ModelError: they are malformed.
        """
        from digits_edge.runtime.model.golden import GoldenValues

        try:
            return GoldenValues.unpack(self._packed_golden)
        except ModelError as error:
            raise ModelError(f"{self.path}: {error}") from error

    def _is_input(self, source: object) -> TypeGuard[NDArray[np.uint8]]:
        return isinstance(source, np.ndarray) and source.dtype == np.uint8 and source.shape == self._shape

    def close(self) -> None:
        """Free the model's memory. The classifier cannot be used afterwards; closing twice is allowed."""
        self._run = _closed

    def _options(self) -> dict[str, Any]:
        return {"provider": self.provider, "threads": self._wanted_threads, "single_image": self._single_image}


@dataclass(frozen=True, eq=False)
class _FirstImages:
    """The undecided state before the first batch.

    Attributes:
        run: predicts with the session selected by rule.
        choose: runs a speed trial and replaces the session.
        lock: held until the first batch has decided.
    """

    run: Callable[[NDArray[np.uint8]], FloatArray]
    choose: Callable[[], None]
    lock: Lock = field(default_factory=Lock)


def _ways(model: str | os.PathLike[str] | None, provider: str) -> list[Way]:
    """The candidate ways to run a model; the first is the one selected by rule."""
    if provider.lower() == AUTO:
        return ways_to_run(model, available_providers())
    return ways_to_run(model, [parse_provider(provider).name])


def _fastest(bind: Callable[[Way], BoundSession], ways: list[Way], threads: int | None) -> tuple[Path, BoundSession]:
    from digits_edge.runtime.session.trial import choose  # deferred: not needed for a few pictures

    return choose(bind, ways, thread_count(threads))


def _closed(*_: object) -> NoReturn:
    raise UsageError("the classifier is closed; create a new one")
