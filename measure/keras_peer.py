"""The Keras model behind a model file, from pixels to calibrated probabilities: `KerasPeer`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from digits_edge.export.source import Source, read_source
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
    """

    source: Source
    path: Path
    temperature: float

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
        peer = cls(source, path, metadata.temperature)
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
    def open(cls, spec: KerasSpec) -> Self:
        """Read a model in the process that runs it.

        Args:
            spec: the model.

        Raises:
            ModelError: the model cannot be read.
        """
        source = read_source(Path(spec.path), pixel_range=spec.pixel_range, labels=spec.labels)
        return cls(source, Path(spec.path), spec.temperature)

    @property
    def spec(self) -> KerasSpec:
        """The specification with which another process opens the model."""
        return KerasSpec(str(self.path.absolute()), self.source.pixel_range, self.source.labels, self.temperature)

    def calibrated(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert Keras's outputs to probabilities, (N, C), in numpy, which is faster than two Keras operations."""
        if self.source.activation == "softmax":
            if self.temperature == 1:
                return outputs
            powers = outputs ** np.float32(1 / self.temperature)
        elif self.source.output == "sigmoid" or outputs.shape[1] == 1:
            return self.source.probabilities(outputs, self.temperature)
        else:
            powers = np.exp((outputs - outputs.max(axis=1, keepdims=True)) / np.float32(self.temperature))
        probabilities: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
        return probabilities

    def from_pixels(self, pixels: Any) -> Any:
        """Compute probabilities from pixels, uint8 (N, H, W[, 3]), with operations that TensorFlow can trace."""
        pixel_range, model = self.source.pixel_range, self.source.model
        inputs = tf.cast(pixels, tf.float32)
        if any(factor != 1 for factor in pixel_range.factors):
            inputs = inputs * np.array(pixel_range.factors, np.float32)
        if any(pixel_range.offsets):
            inputs = inputs + np.array(pixel_range.offsets, np.float32)
        layout = self.source.image_layout
        if layout.is_transposed:
            inputs = tf.transpose(inputs, [0, 3, 1, 2])
        outputs = model(tf.reshape(inputs, [pixels.shape[0], *layout.shape]), training=False)
        return self._probabilities(outputs)

    def _probabilities(self, outputs: Any) -> Any:
        """Probabilities from the outputs of the Keras model, with operations that TensorFlow can trace."""
        activation = self.source.activation
        if self.source.output == "sigmoid" or (activation == "softmax" and self.temperature == 1):
            return outputs
        if activation == "softmax":
            outputs = tf.math.log(tf.maximum(outputs, _TINY))
        elif activation == "sigmoid":
            outputs = tf.math.log(tf.maximum(outputs, _TINY)) - tf.math.log(tf.maximum(1 - outputs, _TINY))
        if outputs.shape[1] == 1:
            outputs = tf.concat([tf.zeros_like(outputs), outputs], axis=1)
        return tf.nn.softmax(outputs / self.temperature)
