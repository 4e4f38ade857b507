"""The Keras model behind a model file, from pixels to calibrated probabilities: `KerasPeer`."""

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
#: Maximum difference of Keras's predictions from those at export; another machine may round bfloat16 differently.
#: Another training run of the same network differs by more.
_MAX_DIFFERENCE = 1e-2


@dataclass(frozen=True)
class KerasPeer:
    """A Keras model with the temperature of the model file that was exported from it.

    Attributes:
        source: the Keras model.
        path: its run folder or Keras file.
        temperature: divisor of its logits.
        in_softmax: whether it ends in a softmax.
    """

    source: Source
    path: Path
    temperature: float
    in_softmax: bool

    @classmethod
    def of_model_file(cls, source: Source, path: Path, metadata: Metadata, golden: GoldenValues) -> Self:
        """Check that a model file was exported from a Keras model, and use the file's temperature.

        Args:
            source: the Keras model.
            path: its run folder or Keras file.
            metadata: metadata of the model file.
            golden: golden values of the model file, which are Keras's predictions.

        Raises:
            UsageError: the file was exported from another Keras model, or is an ensemble.
        """
        if metadata.members:
            raise UsageError(
                f"{metadata.name} is an ensemble, but --keras takes a single model; measure the members' files"
            )
        problem = ""
        peer = cls._with_detected_softmax(source, path, metadata.temperature, golden.images)
        if source.parameters != metadata.parameters:
            problem = f"it has {source.parameters:,} parameters, not {metadata.parameters:,}"
        else:
            probabilities = peer.calibrated(source.outputs(golden.images))
            difference = float(np.abs(probabilities - golden.probabilities).max())
            if not difference <= _MAX_DIFFERENCE:  # also true for NaN
                problem = f"a probability on the golden images differs by {difference:.2g}"
        if problem:
            raise UsageError(
                f"{path} is not the Keras model of {metadata.name}: {problem}; pass the model it was exported from"
            )
        return peer

    @classmethod
    def open(cls, spec: KerasSpec, images: NDArray[np.uint8]) -> Self:
        """Read a model in the process that runs it.

        Args:
            spec: the model.
            images: any images, uint8 (K, 28, 28), for detecting whether the model ends in a softmax.

        Raises:
            ModelError: the model cannot be read.
        """
        source = read_source(Path(spec.path), pixel_range=spec.pixel_range, labels=spec.labels)
        return cls._with_detected_softmax(source, Path(spec.path), spec.temperature, images)

    @classmethod
    def _with_detected_softmax(cls, source: Source, path: Path, temperature: float, images: NDArray[np.uint8]) -> Self:
        """Create the peer; the model's outputs for any images show whether it ends in a softmax."""
        outputs = source.outputs(images)
        return cls(source, path, temperature, as_logits(outputs) is not outputs)

    @property
    def spec(self) -> KerasSpec:
        """The specification with which another process opens the model."""
        return KerasSpec(str(self.path.absolute()), self.source.pixel_range, self.source.labels, self.temperature)

    def calibrated(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert Keras's outputs to probabilities, (N, C), in numpy, which is faster than two Keras operations."""
        if self.in_softmax:
            if self.temperature == 1:
                return outputs
            powers = outputs ** np.float32(1 / self.temperature)
        else:
            powers = np.exp((outputs - outputs.max(axis=1, keepdims=True)) / np.float32(self.temperature))
        probabilities: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
        return probabilities

    def from_pixels(self, pixels: Any) -> Any:
        """Compute probabilities from pixels, uint8 (N, 28, 28), with operations that TensorFlow can trace."""
        return self.from_scaled(tf.cast(pixels, tf.float32) * np.float32(abs(self.source.pixel_range.factor)))

    def from_scaled(self, scaled: Any) -> Any:
        """Compute probabilities from pixels times the absolute factor of the pixel range, float32 (N, 28, 28).

        The function is traceable by TensorFlow.
        """
        pixel_range, model = self.source.pixel_range, self.source.model
        inputs = -scaled if pixel_range.invert else scaled
        if pixel_range.offset:
            inputs = inputs + np.float32(pixel_range.offset)
        outputs = model(tf.reshape(inputs, [scaled.shape[0], *model.inputs[0].shape[1:]]), training=False)
        if self.in_softmax:
            if self.temperature == 1:
                return outputs
            outputs = tf.math.log(tf.maximum(outputs, _TINY))
        return tf.nn.softmax(outputs / self.temperature)
