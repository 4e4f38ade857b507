"""Keras architectures by name: `build(name)` returns an untrained `keras.Model`.

Every model maps float32 (N, H, W, channels) to logits, (N, C); the default is 28×28 grey levels and ten classes.
Computing the loss from logits stays exact where a softmax saturates; the exporter adds the calibrated softmax. White is
1, or 255 if the model begins with a Rescaling layer (see `input_scale`). Structures and, for the default, parameter
counts are those of the reference documents, except for `edge`, which is this project's.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import keras
from keras import layers

from digits_edge.runtime.errors import UsageError, unknown_name
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.train.models.line_network import line_network

_DIGITS = ImageInput()
#: The reference documents do not give the strength of their L2 penalty; this is a usual value for this network size.
_L2 = 1e-4


def build(name: str, *, classes: int = 10, image: ImageInput = _DIGITS, **structure: Any) -> keras.Model:
    """Build an untrained model.

    Args:
        name: one of `names()`.
        classes: number of classes, C.
        image: height, width and number of channels.
        **structure: changes of the settings that `structure_of(name)` lists, such as widths and dropout.

    Returns:
        Functional model from float32 (N, H, W, channels) to logits, float32 (N, C). "number" is a sequence model: from
        lines of any width to the logits of each column, (N, T, C + 1).

    Raises:
        UsageError: the name is unknown, the model has no such setting, or a value does not fit.

    Example:
        >>> build("perceptron").count_params()
        7850
        >>> build("mlp", units=[8]).output_shape
        (None, 10)
        >>> build("cnn-small", classes=3, image=ImageInput(32, 32, 3)).input_shape
        (None, 32, 32, 3)
        >>> build("number", classes=17, image=ImageInput(32, None)).output_shape
        (None, None, 18)
    """
    known = structure_of(name)
    for part, value in structure.items():
        if part not in known:
            raise UsageError(f"{name} has no setting {part!r}; it has: {', '.join(known) or 'none'}")
        _check_part(name, part, value, known[part])
    pixels = keras.Input((image.height, image.width, image.channels), name="image")
    try:
        logits = _ALL[name](pixels, classes, **structure)
    except ValueError as error:
        raise UsageError(
            f"{name} cannot be built with {structure or 'its default structure'}: its layers reduce "
            f"{image.description} pixels to none; use fewer or smaller ones"
        ) from error
    return keras.Model(pixels, logits, name=name.replace("-", "_"))


def names() -> tuple[str, ...]:
    """Names of the architectures of classifiers.

    Example:
        >>> "cnn-small" in names()
        True
    """
    return tuple(_BODIES)


def structure_of(name: str) -> dict[str, Any]:
    """Settings of an architecture that can be changed, with their defaults.

    Raises:
        UsageError: the name is unknown.

    Example:
        >>> structure_of("mlp")
        {'units': [64, 64], 'dropout': 0.0}
    """
    if name not in _ALL:
        raise unknown_name("model", name, _ALL)
    parameters = inspect.signature(_ALL[name]).parameters.values()
    return {
        p.name: list(p.default) if isinstance(p.default, tuple) else p.default
        for p in parameters
        if p.kind is p.KEYWORD_ONLY
    }


@contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Build layers under a dtype policy, and restore Keras's global policy afterwards.

    Example:
        >>> with dtype_policy("mixed_bfloat16"):
        ...     keras.layers.Dense(1).compute_dtype
        'bfloat16'
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def input_scale(model: keras.Model) -> Literal[1, 255]:
    """Value of white in the input of a model: 255 if it has a Rescaling layer, else 1.

    Example:
        >>> input_scale(keras.Sequential([layers.Rescaling(1 / 255)])), input_scale(build("perceptron"))
        (255, 1)
    """
    return 255 if any(isinstance(layer, layers.Rescaling) for layer in model.layers) else 1


def _check_part(name: str, part: str, value: Any, default: Any) -> None:
    """Check that a setting is of the kind of its default: widths of layers, one width, or a dropout rate."""
    widths = value if isinstance(value, Sequence) else [value]
    if isinstance(default, float):
        fits = isinstance(value, int | float) and 0 <= value < 1
    else:
        fits = all(isinstance(width, int) and width >= 1 for width in widths) and len(widths) >= 1
        fits = fits and isinstance(value, Sequence) == isinstance(default, list)
    if not fits:
        raise UsageError(f"{name}: invalid {part} {value!r}; the default is {default!r}")


def _perceptron(x: Any, classes: int) -> Any:
    return _logits(layers.Flatten()(x), classes)


def _mlp(x: Any, classes: int, *, units: Sequence[int], dropout: float) -> Any:
    x = layers.Flatten()(x)
    for width in units:
        x = layers.Dense(width, activation="relu")(x)
        if dropout:
            x = layers.Dropout(dropout)(x)
    return _logits(x, classes)


def _cnn_small(x: Any, classes: int, *, filters: Sequence[int] = (32, 64)) -> Any:
    for count in filters:
        x = layers.Conv2D(count, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    return _logits(layers.Flatten()(x), classes)


def _cnn(
    x: Any,
    classes: int,
    *,
    filters: Sequence[int] = (128, 192),
    dense_units: int = 256,
    dropout: float = 0.25,
    dense_dropout: float = 0.5,
) -> Any:
    for count in filters:
        x = layers.Conv2D(count, 3, activation="relu")(x)
        x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D(2)(x)
        x = layers.Dropout(dropout)(x)
    return _dense_head(x, classes, dense_units, dense_dropout)


def _resnet(
    x: Any,
    classes: int,
    *,
    filters: Sequence[int] = (64, 128),
    dense_units: int = 256,
    dropout: float = 0.25,
    dense_dropout: float = 0.5,
) -> Any:
    for count in filters:
        x = layers.ReLU()(_normalized_convolution(x, count))
        residual = _normalized_convolution(layers.ReLU()(_normalized_convolution(x, count)), count)
        x = layers.ReLU()(layers.Add()([residual, x]))
        x = layers.MaxPooling2D(2)(x)
        x = layers.Dropout(dropout)(x)
    return _dense_head(x, classes, dense_units, dense_dropout)


def _kaggle_cnn(x: Any, classes: int, *, dropout: float = 0.2) -> Any:
    x = layers.Rescaling(1 / 255)(x)
    for sizes, filters in (((5,), 64), ((3, 3), 128), ((3, 3), 256)):
        for size in sizes:
            x = layers.Conv2D(filters, size, padding="same", activation="relu", kernel_initializer="he_normal")(x)
        x = layers.MaxPooling2D(2)(x)
        x = layers.BatchNormalization()(x)
    x = layers.Flatten()(x)
    for width, dropped in ((512, dropout), (512, dropout), (256, 0.0)):
        x = layers.Dense(
            width, activation="elu", kernel_initializer="he_normal", kernel_regularizer=keras.regularizers.L2(_L2)
        )(x)
        if dropped:
            x = layers.Dropout(dropped)(x)
    return _logits(x, classes, kernel_regularizer=keras.regularizers.L2(_L2))


def _edge(
    x: Any,
    classes: int,
    *,
    filters: Sequence[int] = (32, 64, 64, 84),
    kernels: Sequence[int] = (5, 3, 3, 3),
    strides: Sequence[int] = (2, 1, 2, 1),
) -> Any:
    """Convolutions with strides and without pooling or padding.

    Few nodes make it fast with onnxruntime's int8 kernels. An, Lee, Park, Yang and So (2020) describe such networks
    without strides.
    """
    if not len(filters) == len(kernels) == len(strides):
        raise UsageError(
            f"edge: {len(filters)} filters, {len(kernels)} kernels and {len(strides)} strides; "
            "give one of each per layer"
        )
    for count, kernel, stride in zip(filters, kernels, strides, strict=True):
        convolution = layers.Conv2D(count, kernel, strides=stride, use_bias=False)
        x = layers.ReLU()(layers.BatchNormalization()(convolution(x)))
    return _logits(layers.Flatten()(x), classes)


def _normalized_convolution(x: Any, filters: int) -> Any:
    return layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same")(x))


def _dense_head(x: Any, classes: int, units: int, dropout: float) -> Any:
    x = layers.Dense(units, activation="relu")(layers.Flatten()(x))
    return _logits(layers.Dropout(dropout)(layers.BatchNormalization()(x)), classes)


def _logits(x: Any, classes: int, **settings: Any) -> Any:
    # float32 also under a mixed dtype policy: softmax and loss need its range
    return layers.Dense(classes, dtype="float32", name="logits", **settings)(x)


_BODIES: dict[str, Callable[..., Any]] = {
    "perceptron": _perceptron,
    "mlp": partial(_mlp, units=(64, 64), dropout=0.0),
    "mlp-dropout": partial(_mlp, units=(128, 128), dropout=0.3),
    "mlp-wide": partial(_mlp, units=(512, 512), dropout=0.3),
    "cnn-small": _cnn_small,
    "cnn": _cnn,
    "resnet": _resnet,
    "kaggle-cnn": _kaggle_cnn,
    "edge": _edge,
}
#: Architectures of sequence models.
SEQUENCE_MODELS = {"number": line_network}
_ALL: dict[str, Callable[..., Any]] = {**_BODIES, **SEQUENCE_MODELS}
