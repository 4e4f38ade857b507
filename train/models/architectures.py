"""The architectures by name: `build(name)` returns the untrained `keras.Model`.

Every model takes float32 (N, 28, 28, 1) and answers with logits, (N, 10): the loss is computed from logits, which stays
exact where a softmax saturates, and the exporter adds the (calibrated) softmax. White is 1, or 255 where the model
begins with its own Rescaling (`input_scale`). Structures and counts are those of the documents; `edge` is ours.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import keras
from keras import layers

from digits_edge.runtime.errors import UsageError, unknown_name

INPUT_SHAPE = (28, 28, 1)
#: The documents name an L2 penalty without its strength; this one is usual for networks of this size.
_L2 = 1e-4


def build(name: str, *, classes: int = 10, **structure: Any) -> keras.Model:
    """Build an untrained model by its name.

    Args:
        name: one of `names()`.
        classes: how many classes the last layer tells apart.
        **structure: what `structure_of(name)` lists, where it shall differ from the document's: widths, dropout.

    Returns:
        A functional model from float32 (N, 28, 28, 1) to logits, float32 (N, classes).

    Raises:
        UsageError: no model has this name, or it has no such part.
    """
    known = structure_of(name)
    for part, value in structure.items():
        if part not in known:
            raise UsageError(f"{name} has no {part}; it has: {', '.join(known) or 'nothing that can be changed'}")
        _check_part(name, part, value, known[part])
    image = keras.Input(INPUT_SHAPE, name="image")
    try:
        logits = _BODIES[name](image, classes, **structure)
    except ValueError as error:
        raise UsageError(f"{name} cannot be built with {structure}: an image of 28×28 is too small for it") from error
    return keras.Model(image, logits, name=name.replace("-", "_"))


def names() -> tuple[str, ...]:
    """The names that `build` knows."""
    return tuple(_BODIES)


def structure_of(name: str) -> dict[str, Any]:
    """What can be changed of a model, with the document's values.

    Raises:
        UsageError: no model has this name.
    """
    if name not in _BODIES:
        raise unknown_name("model", name, _BODIES)
    parameters = inspect.signature(_BODIES[name]).parameters.values()
    return {
        p.name: list(p.default) if isinstance(p.default, tuple) else p.default
        for p in parameters
        if p.kind is p.KEYWORD_ONLY
    }


@contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Build layers under a dtype policy; Keras keeps it in a global, so it is put back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def input_scale(model: keras.Model) -> Literal[1, 255]:
    """What white is in the images that one of our models takes."""
    return 255 if any(isinstance(layer, layers.Rescaling) for layer in model.layers) else 1


def _check_part(name: str, part: str, value: Any, document: Any) -> None:
    """A part is of the document's kind: some layers' widths, one width, or a share that is dropped."""
    widths = value if isinstance(value, Sequence) else [value]
    if isinstance(document, float):
        fits = isinstance(value, int | float) and 0 <= value < 1
    else:
        fits = all(isinstance(width, int) and width >= 1 for width in widths) and len(widths) >= 1
        fits = fits and isinstance(value, Sequence) == isinstance(document, list)
    if not fits:
        raise UsageError(f"{name} cannot have {part} {value!r}; the document's is {document!r}")


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
    """Convolutions that shrink the image by strides and by their edges, without pooling or padding.

    Few nodes: what onnxruntime's int8 kernels answer quickest. An, Lee, Park, Yang and So (2020) have networks of this
    kind without strides.
    """
    if not len(filters) == len(kernels) == len(strides):
        raise UsageError("edge has as many filters as kernels and strides, one of each for every layer")
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
    # float32 also where the training's dtype policy is mixed: softmax and loss need the range
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
