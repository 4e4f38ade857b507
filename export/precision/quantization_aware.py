"""Quantization-aware fine-tuning: `fine_tuned()` trains a Keras model with simulated int8 rounding.

Weights are rounded to the scales of `digits_edge.export.precision.overflow`, the input of each layer to 256 steps, and
gradients pass through unchanged (Jacob et al. 2018, "Quantization and training of neural networks for efficient
integer-arithmetic-only inference", section 3). The training targets are the model's own float predictions, so neither
labels nor teachers nor augmentation are needed.

Batch normalization statistics are frozen: export folds their factor into the weights of a channel, which does not
change the steps to which the weights are rounded. Layers in a nested model are trained, but not rounded.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from digits_edge.export.precision.overflow import channel_scales
from digits_edge.export.temperature import softmax

_LEARNING_RATE = 3e-5
_BATCH = 128
#: Number of training steps between updates of the scales.
_STEPS_PER_UPDATE = 20


def fine_tuned(
    model: keras.Model,
    inputs: NDArray[np.float32],
    calibration: NDArray[np.float32],
    *,
    epochs: int,
    seed: int = 0,
    listener: Callable[[int], None] = lambda epoch: None,
) -> keras.Model:
    """Train a copy of a model to give the same predictions in int8 as in float.

    Args:
        model: a classifier that ends in logits or a softmax; not modified.
        inputs: training inputs in the model's shape and scale, (N, …).
        calibration: a subset of the inputs, (M, …), which determines the ranges of the activations.
        epochs: passes over all inputs, at least 1.
        seed: seed of the order of the inputs.
        listener: called with the number of each epoch, from 1, when it begins.

    Returns:
        A float model of the same structure, whose predictions change less when it is quantized.
    """
    keras.utils.set_random_seed(seed)
    predictions = model.predict(inputs, batch_size=500, verbose=0)
    is_softmax = _is_softmax(predictions)
    rounded = keras.models.clone_model(model, clone_function=_rounded_layer)
    for original, copy in zip(model.layers, rounded.layers, strict=True):
        _copy_weights(original, copy)
    layers = [layer for layer in rounded.layers if isinstance(layer, _Rounded)]
    for layer in layers:
        layer.observes = True
    for start in range(0, len(calibration), 100):
        rounded(calibration[start : start + 100], training=False)
    for layer in layers:
        layer.observes = False
    steps = epochs * -(-len(inputs) // _BATCH)
    rounded.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, steps)),
        loss=keras.losses.CategoricalCrossentropy(from_logits=not is_softmax),
    )
    rounded.fit(
        inputs,
        predictions if is_softmax else softmax(predictions),
        batch_size=_BATCH,
        epochs=epochs,
        verbose=0,
        callbacks=[_UpdateScales(layers, listener)],
    )
    tuned = keras.models.clone_model(model)
    for trained, copy in zip(rounded.layers, tuned.layers, strict=True):
        _copy_weights(trained, copy)
    return tuned


def _is_softmax(predictions: NDArray[np.float32]) -> bool:
    return bool((predictions >= 0).all() and np.abs(predictions.sum(axis=1) - 1).max() < 1e-2)


class _Rounded:
    """Mixin for Keras layers: rounds the kernel and the input."""

    observes = False
    low = high = 0.0
    _operator = "Gemm"
    _kernel: Any

    def build(self, input_shape: Any) -> None:
        """Create the layer's weights and the scales of its channels."""
        super().build(input_shape)  # type: ignore[misc]
        self.scales = self.add_weight(  # type: ignore[attr-defined]
            shape=(self._kernel.shape[-1],), initializer="ones", trainable=False, name="scales"
        )
        self.update_scales()

    def update_scales(self) -> None:
        """Compute the scales from the current weights."""
        kernel = ops.convert_to_numpy(self._kernel)
        weights = kernel.transpose(3, 2, 0, 1) if self._operator == "Conv" else kernel
        self.scales.assign(channel_scales(weights, self._operator))

    @property
    def kernel(self) -> Any:
        """The weights rounded as in int8; the gradient is that of the float weights."""
        if not hasattr(self, "scales"):
            return self._kernel
        rounded = ops.round(self._kernel / self.scales) * self.scales
        return self._kernel + ops.stop_gradient(rounded - self._kernel)

    def call(self, inputs: Any, **options: Any) -> Any:
        """Apply the layer to the rounded input; while it observes ranges, to the unchanged input."""
        if self.observes:
            self.low = min(self.low, float(ops.min(inputs)))
            self.high = max(self.high, float(ops.max(inputs)))
        elif self.high > self.low:
            inputs = keras.quantizers.fake_quant_with_min_max_vars(inputs, self.low, self.high, num_bits=8)
        return super().call(inputs, **options)  # type: ignore[misc]


class _RoundedConv2D(_Rounded, keras.layers.Conv2D):  # type: ignore[misc]
    _operator = "Conv"


class _RoundedDense(_Rounded, keras.layers.Dense):  # type: ignore[misc]
    pass


def _rounded_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Copy a layer for this training: rounded, without dropout, and with frozen batch normalization."""
    config = layer.get_config()
    if type(layer) is keras.layers.Conv2D:
        return _RoundedConv2D.from_config(config)
    if type(layer) is keras.layers.Dense:
        return _RoundedDense.from_config(config)
    if isinstance(layer, keras.layers.Dropout):
        config["rate"] = 0.0
    copy = type(layer).from_config(config)
    if isinstance(layer, keras.layers.BatchNormalization):
        copy.trainable = False
    return copy


def _copy_weights(source: keras.layers.Layer, target: keras.layers.Layer) -> None:
    if isinstance(source, _Rounded) or isinstance(target, _Rounded):
        target._kernel.assign(source._kernel)
        if target.use_bias:
            target.bias.assign(source.bias)
        if isinstance(target, _Rounded):
            target.update_scales()
    else:
        target.set_weights(source.get_weights())


class _UpdateScales(keras.callbacks.Callback):  # type: ignore[misc]
    """Updates the scales during training and reports epochs to the listener."""

    def __init__(self, layers: list[Any], listener: Callable[[int], None]) -> None:
        super().__init__()
        self._layers, self._listener = layers, listener

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._listener(epoch + 1)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if batch % _STEPS_PER_UPDATE == 0:
            for layer in self._layers:
                layer.update_scales()
