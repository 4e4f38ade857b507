"""The Keras model that a model file was made of, with the file's two ends: pixels in, calibrated probabilities out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from digits_edge.export.source import Source, as_logits, read_source
from digits_edge.measure.engine_spec import KerasSpec
from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.model.golden import GoldenValues
from digits_edge.runtime.model.model_file import Metadata

_TINY = float(np.finfo(np.float32).tiny)
#: How far Keras may be from what it answered at export: another machine may round bfloat16 otherwise. Another training
#: of the same network is farther away.
_SAME = 1e-2


@dataclass(frozen=True)
class KerasPeer:
    """A Keras model, and what makes its answers those of a model file.

    Attributes:
        source: the model.
        path: its run folder or Keras file.
        temperature: what its logits are divided by.
        in_softmax: whether it ends in a softmax.
    """

    source: Source
    path: Path
    temperature: float
    in_softmax: bool

    @classmethod
    def of_model_file(cls, source: Source, path: Path, metadata: Metadata, golden: GoldenValues) -> Self:
        """Take the model that a model file was made of.

        Args:
            source: the Keras model.
            path: where it is.
            metadata: what the model file says of itself.
            golden: its golden answers, which are Keras's own.

        Raises:
            UsageError: the file was made of another, or of several.
        """
        if metadata.members:
            raise UsageError(f"{metadata.name} is an ensemble, and --keras takes one model: measure its members' files")
        problem = ""
        peer = cls._known(source, path, metadata.temperature, golden.images)
        if source.parameters != metadata.parameters:
            problem = f"it has {source.parameters:,} parameters, not {metadata.parameters:,}"
        else:
            answers = peer.calibrated(source.answers(golden.images))
            difference = float(np.abs(answers - golden.probabilities).max())
            if not difference <= _SAME:  # so written, a NaN is a problem
                problem = f"a probability of its answers to the golden images is {difference:.2g} off"
        if problem:
            raise UsageError(
                f"{path} is not what {metadata.name} was made of: {problem}; name its own run or Keras file"
            )
        return peer

    @classmethod
    def open(cls, spec: KerasSpec, images: NDArray[np.uint8]) -> Self:
        """Read a model in the process that is to run it.

        Args:
            spec: which.
            images: any, uint8 (K, 28, 28).

        Raises:
            ModelError: it cannot be read.
        """
        source = read_source(Path(spec.path), input_scale=spec.input_scale, labels=spec.labels)
        return cls._known(source, Path(spec.path), spec.temperature, images)

    @classmethod
    def _known(cls, source: Source, path: Path, temperature: float, images: NDArray[np.uint8]) -> Self:
        """Take a model; its answers to any images tell how it ends."""
        answers = source.answers(images)
        return cls(source, path, temperature, as_logits(answers) is not answers)

    @property
    def spec(self) -> KerasSpec:
        """What another process needs to open it."""
        return KerasSpec(str(self.path.absolute()), self.source.input_scale, self.source.labels, self.temperature)

    def calibrated(self, answers: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of what Keras answered, (N, C), in numpy: cheaper than two more of Keras's operations."""
        if self.in_softmax:
            if self.temperature == 1:
                return answers
            powers = answers ** np.float32(1 / self.temperature)
        else:
            powers = np.exp((answers - answers.max(axis=1, keepdims=True)) / np.float32(self.temperature))
        probabilities: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
        return probabilities

    def from_pixels(self, pixels: Any) -> Any:
        """The graph from uint8 (N, 28, 28) to probabilities, for TensorFlow to trace."""
        return self.from_scaled(tf.cast(pixels, tf.float32) * np.float32(self.source.pixel_scale))

    def from_scaled(self, scaled: Any) -> Any:
        """The graph from float32 (N, 28, 28), in the model's own scale, to probabilities."""
        rows = scaled.shape[0]
        answers = self.source.model(tf.reshape(scaled, [rows, *self.source.model.inputs[0].shape[1:]]), training=False)
        if self.in_softmax:
            if self.temperature == 1:
                return answers
            answers = tf.math.log(tf.maximum(answers, _TINY))
        return tf.nn.softmax(answers / self.temperature)
