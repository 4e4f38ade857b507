"""The ONNX operators of model files in TensorFlow: `OPERATORS`."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import tensorflow as tf

from digits_edge.measure.stored_tensor import CHANNELS_LAST, StoredTensor
from digits_edge.runtime.errors import ModelError

#: Attributes of a node.
Attributes = Mapping[str, Any]
#: Computes the output of a node from its attributes and inputs.
Operator = Callable[[Attributes, Sequence[StoredTensor]], StoredTensor]


def fake_quantized(tensor: Any, lowest: Any, highest: Any, *, narrow: bool = False) -> Any:
    """Round to 8 bits; the limits are numbers, or one for each entry of the last axis."""
    if np.ndim(lowest):
        return tf.quantization.fake_quant_with_min_max_vars_per_channel(tensor, lowest, highest, narrow_range=narrow)
    return tf.quantization.fake_quant_with_min_max_args(tensor, float(lowest), float(highest), narrow_range=narrow)


def _weights(stored: StoredTensor, array: Any) -> Any:
    """The weights of a layer, rearranged to end with the output channels, in the file's quantization."""
    if stored.steps is None:
        return array
    highest = 127 * stored.steps
    return fake_quantized(array, -highest, highest, narrow=True)


def _conv(attributes: Attributes, inputs: Sequence[StoredTensor]) -> StoredTensor:
    images, kernel = inputs[0].channels_last(), inputs[1]
    strides, dilations = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
    window = [(size - 1) * step + 1 for size, step in zip(kernel.shape[2:], dilations, strict=True)]
    images, padding = _padded(images, attributes, window, strides)
    weights = _weights(kernel, kernel.tensor.transpose(2, 3, 1, 0))
    groups = attributes.get("group", 1)
    if groups > 1 and groups == images.shape[-1] and strides[0] == strides[1]:
        weights = tf.reshape(weights, [*weights.shape[:2], groups, -1])
        outputs = tf.nn.depthwise_conv2d(images, weights, [1, *strides, 1], padding, dilations=dilations)
    else:
        outputs = tf.nn.conv2d(images, weights, strides, padding, dilations=dilations)
    return StoredTensor(outputs + inputs[2].tensor if len(inputs) > 2 else outputs, CHANNELS_LAST)


def _padded(images: Any, attributes: Attributes, window: Sequence[int], strides: Sequence[int]) -> tuple[Any, str]:
    """Pad (N, H, W, C) with zeros if TensorFlow has no name for the padding; return the images and the name."""
    pads, name = attributes.get("pads", [0, 0, 0, 0]), attributes.get("auto_pad", "NOTSET")
    if name in ("VALID", "SAME_UPPER"):
        return images, name.removesuffix("_UPPER")
    if not any(pads):
        return images, "VALID"
    same = []
    for size, length, step in zip(images.shape[1:3], window, strides, strict=True):
        total = max((-(-size // step) - 1) * step + length - size, 0)
        same.append((total // 2, total - total // 2))
    given = [(pads[0], pads[2]), (pads[1], pads[3])]
    return (images, "SAME") if given == same else (tf.pad(images, [(0, 0), *given, (0, 0)]), "VALID")


def _pool(kind: str) -> Operator:
    def operator(attributes: Attributes, inputs: Sequence[StoredTensor]) -> StoredTensor:
        window = attributes["kernel_shape"]
        strides = attributes.get("strides", [1, 1])
        images = inputs[0].channels_last()
        padded, padding = _padded(images, attributes, window, strides)
        if padded is not images or attributes.get("ceil_mode") or attributes.get("count_include_pad"):
            raise ModelError(f"a {kind} pooling has a padding that TensorFlow does not have")
        return StoredTensor(tf.nn.pool(images, window, kind, strides, padding), CHANNELS_LAST)

    return operator


def _mean(attributes: Attributes, inputs: Sequence[StoredTensor]) -> StoredTensor:
    values = inputs[0]
    rank = len(values.shape)
    axes = inputs[1].tensor.tolist() if len(inputs) > 1 else attributes.get("axes", range(2, rank))
    axes = [axis % rank for axis in axes]
    stored = [values.axes[axis] for axis in axes] if values.axes else axes
    means = values.with_tensor(tf.reduce_mean(values.tensor, stored, keepdims=True))
    if attributes.get("keepdims", 1):
        return means
    shape = [size for axis, size in enumerate(means.shape) if axis not in axes]
    return StoredTensor(tf.reshape(means.in_file_order(), shape))


def _gemm(attributes: Attributes, inputs: Sequence[StoredTensor]) -> StoredTensor:
    rows, kernel = inputs[0], inputs[1]
    if attributes.get("alpha", 1) != 1 or attributes.get("beta", 1) != 1 or attributes.get("transA"):
        raise ModelError("a Gemm with alpha, beta or transA is not converted")
    if not kernel.is_constant:
        raise ModelError("a product of two computed matrices is not converted")
    weights = kernel.tensor.T if attributes.get("transB") else kernel.tensor
    if rows.columns is not None:
        weights = weights[np.argsort(rows.columns)]
    elif rows.axes:
        rows = StoredTensor(rows.in_file_order())
    if kernel.steps is None or not kernel.steps.ndim:
        outputs = tf.matmul(rows.tensor, _weights(kernel, weights))
    else:  # the converter cannot transpose the weights of a product that have a step for each channel
        pixels = tf.reshape(rows.tensor, [-1, 1, 1, weights.shape[0]])
        outputs = tf.nn.conv2d(pixels, _weights(kernel, weights[np.newaxis, np.newaxis]), 1, "VALID")
        outputs = tf.reshape(outputs, [*rows.shape[:-1], weights.shape[1]])
    return StoredTensor(outputs + inputs[2].tensor if len(inputs) > 2 else outputs)


def _reshape(attributes: Attributes, inputs: Sequence[StoredTensor]) -> StoredTensor:
    values = inputs[0]
    shape = [size or values.shape[axis] for axis, size in enumerate(inputs[1].tensor.tolist())]
    count, *sizes = values.shape
    if shape in ([count, -1], [count, math.prod(sizes)], [-1, math.prod(sizes)]):
        return values.flattened()
    return StoredTensor(tf.reshape(values.in_file_order(), shape))


def _flatten(attributes: Attributes, inputs: Sequence[StoredTensor]) -> StoredTensor:
    if attributes.get("axis", 1) != 1:
        raise ModelError("a Flatten that does not keep the batch axis is not converted")
    return inputs[0].flattened()


def _transpose(attributes: Attributes, inputs: Sequence[StoredTensor]) -> StoredTensor:
    values = inputs[0]
    if values.columns is not None:
        values = StoredTensor(values.in_file_order())
    rank = len(values.shape)
    order = attributes.get("perm", list(reversed(range(rank))))
    axes = values.axes or tuple(range(rank))
    return StoredTensor(values.tensor, tuple(axes[axis] for axis in order))


def _space_to_depth(attributes: Attributes, inputs: Sequence[StoredTensor]) -> StoredTensor:
    return StoredTensor(tf.nn.space_to_depth(inputs[0].channels_last(), attributes["blocksize"]), CHANNELS_LAST)


def _slice(attributes: Attributes, inputs: Sequence[StoredTensor]) -> StoredTensor:
    values, starts, ends, *rest = inputs
    if len(rest) > 1 and (rest[1].tensor != 1).any():
        raise ModelError("a Slice with steps is not converted")
    axes = rest[0].tensor.tolist() if rest else range(len(starts.tensor))
    kept = [slice(None)] * len(values.shape)
    for axis, start, end in zip(axes, starts.tensor.tolist(), ends.tensor.tolist(), strict=True):
        kept[axis] = slice(start, end)
    return StoredTensor(values.in_file_order()[tuple(kept)])


def _pad(attributes: Attributes, inputs: Sequence[StoredTensor]) -> StoredTensor:
    values, widths, *rest = inputs
    if attributes.get("mode", "constant") != "constant" or len(rest) > 1:
        raise ModelError("a Pad with a mode or axes is not converted")
    # pixels are dequantized already, and the zero point that pads them is 0
    fill = float(rest[0].tensor) if rest and rest[0].tensor.dtype.kind == "f" else 0.0
    before, after = np.split(widths.tensor, 2)
    return StoredTensor(tf.pad(values.in_file_order(), np.stack([before, after], axis=1), constant_values=fill))


def _concat(attributes: Attributes, inputs: Sequence[StoredTensor]) -> StoredTensor:
    first = next(values for values in inputs if not values.is_constant)
    if first.columns is not None:
        first = StoredTensor(first.in_file_order())
    axis = attributes["axis"] % len(first.shape)
    tensors = [values.broadcast_like(first) for values in inputs]
    return first.with_tensor(tf.concat(tensors, first.axes[axis] if first.axes else axis))


def _softmax(attributes: Attributes, inputs: Sequence[StoredTensor]) -> StoredTensor:
    return StoredTensor(tf.nn.softmax(inputs[0].in_file_order(), axis=attributes.get("axis", -1)))


def _normalization(attributes: Attributes, inputs: Sequence[StoredTensor]) -> StoredTensor:
    values, (scale, bias, mean, variance) = inputs[0], (parameter.tensor for parameter in inputs[1:])
    factors = scale / np.sqrt(variance + attributes.get("epsilon", 1e-5))
    shape = (1, -1, *[1] * (len(values.shape) - 2))
    factor, offset = (StoredTensor(each.reshape(shape)) for each in (factors, bias - mean * factors))
    product = tf.multiply(values.tensor, factor.broadcast_like(values))
    return values.with_tensor(tf.add(product, offset.broadcast_like(values)))


def _clip(attributes: Attributes, inputs: Sequence[StoredTensor]) -> StoredTensor:
    lowest, highest = (float(limit.tensor) for limit in inputs[1:3])
    tensor = inputs[0].tensor
    return inputs[0].with_tensor(
        tf.nn.relu6(tensor) if (lowest, highest) == (0, 6) else tf.clip_by_value(tensor, lowest, highest)
    )


def _each(function: Callable[[Any], Any]) -> Operator:
    """An operator on each entry."""
    return lambda attributes, inputs: inputs[0].with_tensor(function(inputs[0].tensor))


def _pairs(function: Callable[[Any, Any], Any]) -> Operator:
    """An operator on entries of two or more tensors, which are broadcast."""

    def pair(first: StoredTensor, second: StoredTensor) -> StoredTensor:
        like = max(first, second, key=lambda values: (not values.is_constant, len(values.shape)))
        return like.with_tensor(function(first.broadcast_like(like), second.broadcast_like(like)))

    return lambda attributes, inputs: reduce(pair, inputs)


def _leaky_relu(attributes: Attributes, inputs: Sequence[StoredTensor]) -> StoredTensor:
    return inputs[0].with_tensor(tf.nn.leaky_relu(inputs[0].tensor, attributes.get("alpha", 0.01)))


def _elu(attributes: Attributes, inputs: Sequence[StoredTensor]) -> StoredTensor:
    if attributes.get("alpha", 1) != 1:
        raise ModelError("an Elu with alpha is not converted")
    return inputs[0].with_tensor(tf.nn.elu(inputs[0].tensor))


#: ONNX operator → its computation in TensorFlow.
OPERATORS: dict[str, Operator] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _gemm,
    "MaxPool": _pool("MAX"),
    "AveragePool": _pool("AVG"),
    "GlobalAveragePool": _mean,
    "ReduceMean": _mean,
    "BatchNormalization": _normalization,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "SpaceToDepth": _space_to_depth,
    "Slice": _slice,
    "Pad": _pad,
    "Concat": _concat,
    "Softmax": _softmax,
    "Clip": _clip,
    "LeakyRelu": _leaky_relu,
    "Elu": _elu,
    "Cast": _each(lambda tensor: tf.cast(tensor, tf.float32)),
    "Identity": _each(lambda tensor: tensor),
    "Relu": _each(tf.nn.relu),
    "Sigmoid": _each(tf.nn.sigmoid),
    "Tanh": _each(tf.nn.tanh),
    "Softplus": _each(tf.nn.softplus),
    "Erf": _each(tf.math.erf),
    "Exp": _each(tf.exp),
    "Log": _each(tf.math.log),
    "Neg": _each(tf.negative),
    "Sqrt": _each(tf.sqrt),
    "Add": _pairs(tf.add),
    "Sum": _pairs(tf.add),
    "Sub": _pairs(tf.subtract),
    "Mul": _pairs(tf.multiply),
    "Div": _pairs(tf.divide),
    "Max": _pairs(tf.maximum),
    "Min": _pairs(tf.minimum),
    "Pow": _pairs(tf.pow),
}
