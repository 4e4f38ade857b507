"""Grad-CAM (Selvaraju et al. 2017): where in an image a convolutional network finds its answer."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import UsageError
from digits_edge.train.models.layers import Placed, placed_layers

_SIDE = 28


def has_maps(model: keras.Model) -> bool:
    """Whether Grad-CAM can look inside: the model has a convolution that all of its answer goes through."""
    return _split(model) is not None


def grad_cam(model: keras.Model, inputs: NDArray[np.float32], classes: NDArray[np.integer]) -> NDArray[np.float32]:
    """Maps of what speaks for a class.

    The feature maps A_k of the last convolution (behind a residual block: of the block) are weighed by the mean over
    the map of ∂score/∂A_k, and the sum is cut at zero: ReLU(Σ_k w_k A_k). The score is the logit, also where the model
    ends in a softmax: a certain answer's probability has no gradient left.

    Args:
        model: channels last.
        inputs: (N, …), as the model takes them.
        classes: (N,), the class to explain of each image.

    Returns:
        float32, (N, 28, 28), from 0 to 1, the largest value of every map being 1; a map without anything is all zero.

    Raises:
        UsageError: the model has no such convolution, or Keras's backend gives no gradients.
    """
    split = _split(model)
    if split is None:
        raise UsageError(
            f"{model.name} has no convolution that Grad-CAM could look into; occlusion maps look from outside"
        )
    front, back = split
    maps = front(keras.ops.convert_to_tensor(inputs), training=False)
    picked = keras.ops.one_hot(keras.ops.convert_to_tensor(classes.astype(np.int32)), back.output.shape[-1])

    def score(values: Any) -> Any:
        """The sum over the images: none of them touches another's gradient."""
        return keras.ops.sum(keras.ops.cast(back(values, training=False), "float32") * picked)

    gradients = _as_array(_gradient(score, maps))
    weights = gradients.mean(axis=(1, 2), keepdims=True)
    cam = np.maximum((weights * _as_array(maps)).sum(axis=-1, keepdims=True), 0)
    large = keras.ops.image.resize(cam, (_SIDE, _SIDE), interpolation="bilinear", data_format="channels_last")
    result = _as_array(large)[..., 0]
    peaks = result.max(axis=(1, 2), keepdims=True)
    scaled: NDArray[np.float32] = np.divide(result, peaks, out=np.zeros_like(result), where=peaks > 0)
    return scaled


def _split(model: keras.Model) -> tuple[keras.Model, keras.Model] | None:
    """The model as two: from the image to the feature maps, and from there to the logits."""
    placed = placed_layers(model)
    convolving = [index for index, one in enumerate(placed) if _convolves(one.layer) and _is_map(one)]
    if not convolving:
        return None
    last = convolving[-1]
    size = placed[last].output.shape[1:3]
    behind = [one for one in placed[last:] if _is_map(one) and one.output.shape[1:3] == size]
    logits = _logits(model, placed[-1])
    through = [one for one in behind if _all_goes_through(one, placed)]
    if not through:
        return None
    chosen = next((one for one in reversed(through) if _is_rectified(one.layer)), through[-1])
    return keras.Model(model.inputs, chosen.output), keras.Model(chosen.output, logits)


def _is_map(one: Placed) -> bool:
    return len(one.output.shape) == 4


def _convolves(layer: Any) -> bool:
    """A convolution, or a model that has one."""
    if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.SeparableConv2D):
        return True
    return any(_convolves(inner) for inner in getattr(layer, "layers", ()))


def _is_rectified(layer: Any) -> bool:
    """Whether what leaves the layer went through an activation."""
    if isinstance(layer, keras.layers.ReLU | keras.layers.LeakyReLU | keras.layers.PReLU | keras.layers.ELU):
        return True
    return getattr(getattr(layer, "activation", None), "__name__", "linear") != "linear"


def _all_goes_through(one: Placed, placed: Sequence[Placed]) -> bool:
    """Whether no way from the image to the last of the layers goes round this one."""
    around: set[int] = set()
    for other in placed:
        if other is not one and (not other.inputs or any(id(value) in around for value in other.inputs)):
            around.add(id(other))
    return id(placed[-1]) not in around


def _logits(model: keras.Model, end: Placed) -> Any:
    """The symbolic logits: what goes into the softmax, where there is one at the end."""
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
    """The gradient of a scalar function, by the backend's own means."""
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
    raise UsageError(f"Grad-CAM needs gradients, which Keras on {backend} does not give; set KERAS_BACKEND=tensorflow")


def _as_array(tensor: Any) -> NDArray[np.float32]:
    values: NDArray[np.float32] = keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))
    return values
