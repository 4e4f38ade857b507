"""Grad-CAM (Selvaraju et al. 2017): saliency maps of convolutional Keras models."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import UsageError
from digits_edge.train.models.layers import Placed, placed_layers


def has_maps(model: keras.Model) -> bool:
    """Whether Grad-CAM applies: the model has a convolution on every path from the input to the output.

    Example:
        >>> has_maps(keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]))
        False
    """
    return _split(model) is not None


def grad_cam(
    model: keras.Model,
    inputs: NDArray[np.float32],
    classes: NDArray[np.integer],
    size: tuple[int, int] = (28, 28),
) -> NDArray[np.float32]:
    """Compute maps of the regions that increase the logit of a class.

    The map is ReLU(Σ_k w_k A_k). A_k are the feature maps of the last convolution, or of the residual block that
    contains it; w_k is the mean of ∂logit/∂A_k over the map. The logit is also used if the model ends in a softmax,
    because the gradient of a probability close to 1 vanishes.

    Args:
        model: Keras model with channels last.
        inputs: model inputs, float32 (N, …).
        classes: class to explain for each image, (N,).
        size: height and width of the images.

    Returns:
        float32 (N, H, W) in 0 to 1. The maximum of each map is 1, or 0 if no region increases the logit.

    Raises:
        UsageError: the model has no such convolution, or the Keras backend does not compute gradients.

    Example:
        >>> grad_cam(model, inputs, np.array([7])).shape  # doctest: +SKIP
        (1, 28, 28)
    """
    split = _split(model)
    if split is None:
        raise UsageError(f"Grad-CAM needs a convolution, which {model.name} does not have; use occlusion maps")
    front, back = split
    maps = front(keras.ops.convert_to_tensor(inputs), training=False)
    picked = keras.ops.one_hot(keras.ops.convert_to_tensor(classes.astype(np.int32)), back.output.shape[-1])

    def score(values: Any) -> Any:
        """Sum over the images, which are independent, so the gradient is that of each image."""
        return keras.ops.sum(keras.ops.cast(back(values, training=False), "float32") * picked)

    gradients = _as_array(_gradient(score, maps))
    weights = gradients.mean(axis=(1, 2), keepdims=True)
    cam = np.maximum((weights * _as_array(maps)).sum(axis=-1, keepdims=True), 0)
    large = keras.ops.image.resize(cam, size, interpolation="bilinear", data_format="channels_last")
    result = _as_array(large)[..., 0]
    peaks = result.max(axis=(1, 2), keepdims=True)
    scaled: NDArray[np.float32] = np.divide(result, peaks, out=np.zeros_like(result), where=peaks > 0)
    return scaled


def _split(model: keras.Model) -> tuple[keras.Model, keras.Model] | None:
    """Split the model at the feature maps: from the input to them, and from them to the logits."""
    placed = placed_layers(model)
    convolutions = [index for index, one in enumerate(placed) if _has_convolution(one.layer) and _is_map(one)]
    if not convolutions:
        return None
    last = convolutions[-1]
    size = placed[last].output.shape[1:3]
    maps = [one for one in placed[last:] if _is_map(one) and one.output.shape[1:3] == size]
    logits = _logits(model, placed[-1])
    candidates = [one for one in maps if _is_on_every_path(one, placed)]
    if not candidates:
        return None
    chosen = next((one for one in reversed(candidates) if _has_activation(one.layer)), candidates[-1])
    return keras.Model(model.inputs, chosen.output), keras.Model(chosen.output, logits)


def _is_map(one: Placed) -> bool:
    return len(one.output.shape) == 4


def _has_convolution(layer: Any) -> bool:
    """Whether the layer is a convolution or a model that contains one."""
    if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.SeparableConv2D):
        return True
    return any(_has_convolution(inner) for inner in getattr(layer, "layers", ()))


def _has_activation(layer: Any) -> bool:
    """Whether the layer ends with an activation."""
    if isinstance(layer, keras.layers.ReLU | keras.layers.LeakyReLU | keras.layers.PReLU | keras.layers.ELU):
        return True
    return getattr(getattr(layer, "activation", None), "__name__", "linear") != "linear"


def _is_on_every_path(one: Placed, placed: Sequence[Placed]) -> bool:
    """Whether every path from the input to the last layer passes this layer."""
    reachable_without: set[int] = set()
    for other in placed:
        if other is not one and (not other.inputs or any(id(value) in reachable_without for value in other.inputs)):
            reachable_without.add(id(other))
    return id(placed[-1]) not in reachable_without


def _logits(model: keras.Model, end: Placed) -> Any:
    """Return the symbolic logits: the input of the final softmax if there is one, else the output."""
    layer = end.layer
    if isinstance(layer, keras.layers.Softmax):
        return end.inputs[0].output
    if getattr(getattr(layer, "activation", None), "__name__", "") != "softmax":
        return model.outputs[0]
    if isinstance(layer, keras.layers.Activation):
        return end.inputs[0].output
    linear = type(layer).from_config({**layer.get_config(), "activation": "linear", "name": f"{layer.name}_logits"})
    logits = linear(end.inputs[0].output)
    linear.set_weights(layer.get_weights())
    return logits


def _gradient(score: Callable[[Any], Any], at: Any) -> Any:
    """Compute the gradient of a scalar function with the Keras backend."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(at)
            value = score(at)
        return tape.gradient(value, at)
    if backend == "jax":
        import jax  # type: ignore[import-not-found, unused-ignore]

        return jax.grad(score)(at)
    if backend == "torch":
        import torch  # type: ignore[import-not-found, unused-ignore]

        leaf = at.detach().requires_grad_()
        return torch.autograd.grad(score(leaf), leaf)[0]
    raise UsageError(
        f"the Keras backend {backend} does not compute gradients for Grad-CAM; set KERAS_BACKEND=tensorflow"
    )


def _as_array(tensor: Any) -> NDArray[np.float32]:
    values: NDArray[np.float32] = keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))
    return values
