"""Small Keras classifiers of many kinds, as users bring them, and images to fit them to.

`tests/export/test_keras_models.py` exports each; `python -m scripts.keras_models` writes the results as a table.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from digits_edge.export import Source, export
from digits_edge.export.float32 import in_float32
from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.errors import DigitsEdgeError
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.model_file import Precision
from digits_edge.runtime.model.pixel_range import PixelRange
from digits_edge.runtime.model.steps import default_steps

#: Target logits of the true class and of the others: confident, but not saturated predictions.
_TRUE_LOGIT, _OTHER_LOGIT = 5.0, 0.0
_RIDGE = 3e-3
IMAGES = 400

Body = Callable[[Any], Any]
End = Literal["logits", "softmax", "log_softmax", "sigmoid", "mse", "one_sigmoid", "one_logit"]


@dataclass(frozen=True)
class Kind:
    """A kind of Keras classifier.

    Attributes:
        body: from the model's input to the features of its last layer.
        image: the images.
        shape: input shape of the Keras model.
        classes: number of classes.
        end: what the model ends in.
        pixels: the pixel range.
        policy: dtype policy.
        adapt: whether its Normalization layers are adapted to the images.
        epochs: epochs of training. Without training, only the last layer is fitted, which is faster; deep models
            of random weights are too sensitive to rounding.
    """

    body: Body
    image: ImageInput = field(default_factory=ImageInput)
    shape: tuple[int, ...] = (28, 28, 1)
    classes: int = 10
    end: End = "softmax"
    pixels: PixelRange = field(default_factory=lambda: PixelRange(1))
    policy: str = "float32"
    adapt: bool = False
    epochs: int = 0


# --- bodies


def _small(x: Any) -> Any:
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = layers.Conv2D(16, 3, strides=2, activation="relu")(x)
    return layers.Flatten()(x)


def _lenet5(x: Any) -> Any:
    x = layers.AveragePooling2D(2)(layers.Conv2D(6, 5, activation="tanh")(x))
    x = layers.AveragePooling2D(2)(layers.Conv2D(16, 5, activation="tanh")(x))
    x = layers.Conv2D(120, 5, activation="tanh")(x)
    return layers.Dense(84, activation="tanh")(layers.Flatten()(x))


def _cifar(x: Any) -> Any:
    for filters in (16, 24):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.BatchNormalization(momentum=0.8)(x)
        x = layers.MaxPooling2D()(x)
    return layers.Dense(64, activation="relu")(layers.Flatten()(x))


def _channels_first(x: Any) -> Any:
    for filters in (8, 12):  # with 16 filters and 16 columns, Keras 3.15 adds the biases to the columns
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", data_format="channels_first")(x)
        x = layers.BatchNormalization(axis=1, momentum=0.8)(x)
        x = layers.MaxPooling2D(data_format="channels_first")(x)
    return layers.Flatten()(x)


def _inverted_residual(x: Any, filters: int, *, strides: int, activation: str, squeeze: bool) -> Any:
    shortcut, channels = x, x.shape[-1]
    x = layers.Conv2D(channels * 4, 1, use_bias=False)(x)
    x = layers.Activation(activation)(layers.BatchNormalization(momentum=0.8)(x))
    x = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(x)
    x = layers.Activation(activation)(layers.BatchNormalization(momentum=0.8)(x))
    if squeeze:
        x = _squeeze_and_excite(x)
    x = layers.BatchNormalization(momentum=0.8)(layers.Conv2D(filters, 1, use_bias=False)(x))
    return layers.Add()([shortcut, x]) if strides == 1 and channels == filters else x


def _squeeze_and_excite(x: Any, gate: str = "sigmoid") -> Any:
    channels = x.shape[-1]
    gain = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gain = layers.Conv2D(max(channels // 4, 4), 1, activation="relu")(gain)
    gain = layers.Conv2D(channels, 1, activation=gate)(gain)
    return layers.Multiply()([x, gain])


def _mobile(activation: str, *, squeeze: bool) -> Body:
    def body(x: Any) -> Any:
        stem = x.shape[1] // 12  # small feature maps, for a fast training
        x = layers.Conv2D(12, stem + 1, strides=stem, padding="same", use_bias=False)(x)
        x = layers.Activation(activation)(layers.BatchNormalization(momentum=0.8)(x))
        for filters, strides in ((12, 1), (16, 2), (16, 1), (24, 2)):
            x = _inverted_residual(x, filters, strides=strides, activation=activation, squeeze=squeeze)
        x = layers.BatchNormalization(momentum=0.8)(layers.Conv2D(96, 1, use_bias=False)(x))
        return layers.GlobalAveragePooling2D()(layers.Activation(activation)(x))

    return body


def _relu6(x: Any) -> Any:
    return keras.activations.relu6(x)


def _activated(activation: Any) -> Body:
    def body(x: Any) -> Any:
        x = layers.Conv2D(8, 3, strides=2, activation=activation)(x)
        x = layers.Conv2D(12, 3, strides=2, activation=activation)(x)
        return layers.Dense(64, activation=activation)(layers.Flatten()(x))

    return body


def _gelu_tanh(x: Any) -> Any:
    return keras.activations.gelu(x, approximate=True)


def _convnext(x: Any) -> Any:
    x = layers.LayerNormalization()(layers.Conv2D(16, 4, strides=4)(x))
    for _ in range(2):
        y = layers.LayerNormalization()(layers.DepthwiseConv2D(3, padding="same")(x))
        y = layers.Dense(16)(layers.Dense(32, activation="gelu")(y))
        x = layers.Add()([x, y])
    return layers.LayerNormalization()(layers.GlobalAveragePooling2D()(x))


def _vit(patch: int) -> Body:
    def body(x: Any) -> Any:
        x = layers.Conv2D(24, patch, strides=patch)(x)
        x = layers.Reshape((x.shape[1] * x.shape[2], 24))(x)
        for _ in range(2):
            y = layers.LayerNormalization()(x)
            x = layers.Add()([x, layers.MultiHeadAttention(2, 12)(y, y)])
            y = layers.LayerNormalization()(x)
            x = layers.Add()([x, layers.Dense(24)(layers.Dense(48, activation="gelu")(y))])
        return layers.Flatten()(layers.LayerNormalization()(x))

    return body


def _group_norm(x: Any) -> Any:
    for filters in (8, 16):
        x = layers.Conv2D(filters, 3, padding="same")(x)
        x = layers.ReLU()(layers.GroupNormalization(4)(x))
        x = layers.MaxPooling2D()(x)
    return layers.Flatten()(x)


def _excited(x: Any) -> Any:
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(x)
    x = _squeeze_and_excite(x)
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(x)
    return layers.Flatten()(_squeeze_and_excite(x))


def _before(*first: Callable[[], Any]) -> Body:
    """`_small` after layers that prepare the image."""

    def body(x: Any) -> Any:
        for layer in first:
            x = layer()(x)
        return _small(x)

    return body


def _augmented(x: Any) -> Any:
    for layer in (
        layers.RandomFlip("horizontal"),
        layers.RandomRotation(0.1),
        layers.RandomTranslation(0.1, 0.1),
        layers.RandomZoom(0.1),
        layers.RandomContrast(0.2),
        layers.RandomBrightness(0.2, value_range=(0, 1)),
        layers.GaussianNoise(0.1),
    ):
        x = layer(x)
    return _small(x)


def _separable(x: Any) -> Any:
    x = layers.SeparableConv2D(16, 3, activation="relu")(x)
    return layers.Flatten()(layers.MaxPooling2D()(layers.SeparableConv2D(24, 3, strides=2, activation="relu")(x)))


def _depthwise(x: Any) -> Any:
    x = layers.Conv2D(12, 3, strides=2, activation="relu")(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu")(x)
    return layers.Flatten()(x)


def _transposed(x: Any) -> Any:
    x = layers.Conv2D(12, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu")(x)
    return layers.Flatten()(layers.MaxPooling2D()(x))


def _upsampled(interpolation: str) -> Body:
    def body(x: Any) -> Any:
        x = layers.Conv2D(12, 3, strides=2, padding="same", activation="relu")(x)
        y = layers.MaxPooling2D()(layers.Conv2D(12, 3, padding="same", activation="relu")(x))
        y = layers.UpSampling2D(2, interpolation=interpolation)(y)
        x = layers.Concatenate()([x, y])
        return layers.Flatten()(layers.Conv2D(12, 3, strides=2, activation="relu")(x))

    return body


def _with_layer(activation: Callable[[], Any]) -> Body:
    def body(x: Any) -> Any:
        x = activation()(layers.Conv2D(8, 3, strides=2)(x))
        x = activation()(layers.Conv2D(16, 3, strides=2)(x))
        return layers.Flatten()(x)

    return body


def _branches(x: Any) -> Any:
    x = layers.Conv2D(12, 3, strides=2, padding="same", activation="relu")(x)
    y = layers.Conv2D(12, 3, padding="same", activation="relu")(x)
    z = layers.Conv2D(12, 1, activation="relu")(x)
    x = layers.Add()([y, z])
    x = layers.Concatenate()([x, y, layers.AveragePooling2D(3, strides=1, padding="same")(x)])
    x = layers.Conv2D(48, 3, strides=2, activation="relu")(x)
    return layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])


def _rows(x: Any) -> Any:
    x = layers.Conv1D(24, 3, activation="relu")(x)
    x = layers.MaxPooling1D()(layers.Conv1D(32, 3, padding="same", activation="relu")(x))
    return layers.Flatten()(x)


def _recurrent(layer: Callable[[], Any]) -> Body:
    def body(x: Any) -> Any:
        return layers.Dense(48, activation="relu")(layer()(x))

    return body


def _dense(x: Any) -> Any:
    return layers.Dense(128, activation="relu")(x)


RGB32, RGB96 = ImageInput(32, 32, 3, "as-photographed"), ImageInput(96, 96, 3, "as-photographed")
IMAGENET = PixelRange(1, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def _rgb(body: Body, image: ImageInput = RGB32, **options: Any) -> Kind:
    return Kind(body, image, **{"shape": image.shape} | options)


KINDS: dict[str, Kind] = {
    # inputs
    "28×28×3": _rgb(_small, ImageInput(28, 28, 3)),
    "32×32×1, LeNet-5": Kind(_lenet5, ImageInput(32, 32), (32, 32, 1)),
    "32×32×3, CIFAR-like": _rgb(_cifar),
    "64×64×1": Kind(_small, ImageInput(64, 64), (64, 64, 1)),
    "20×40×3, not square": _rgb(_small, ImageInput(20, 40, 3)),
    "96×96×3": _rgb(_small, RGB96),
    "flat, 784": Kind(_dense, shape=(784,)),
    "28×28 without channel axis": Kind(_before(lambda: layers.Reshape((28, 28, 1))), shape=(28, 28)),
    "channels first, 1×28×28": Kind(_channels_first, shape=(1, 28, 28)),
    "channels first, 3×32×32": Kind(_channels_first, RGB32, (3, 32, 32)),
    "mean and std per channel": _rgb(_cifar, pixels=IMAGENET),
    # blocks
    "MobileNetV2 blocks, 32×32×3": _rgb(_mobile("relu6", squeeze=False), epochs=8),
    "MobileNetV2 blocks, 96×96×3": _rgb(_mobile("relu6", squeeze=False), RGB96, epochs=8),
    "MobileNetV3 blocks, 32×32×3": _rgb(_mobile("hard_silu", squeeze=True), epochs=8),
    "MobileNetV3 blocks, 96×96×3": _rgb(_mobile("hard_silu", squeeze=True), RGB96, epochs=8),
    "EfficientNet blocks, 32×32×3": _rgb(_mobile("silu", squeeze=True), epochs=8),
    "EfficientNet blocks, 96×96×3": _rgb(_mobile("silu", squeeze=True), RGB96, epochs=8),
    # activations and normalization
    "gelu": Kind(_activated("gelu")),
    "gelu, tanh": Kind(_activated(_gelu_tanh)),
    "swish": Kind(_activated("silu")),
    "elu": Kind(_activated("elu")),
    "selu": Kind(_activated("selu")),
    "mish": Kind(_activated("mish")),
    "softplus": Kind(_activated("softplus")),
    "hard_silu": Kind(_activated("hard_silu")),
    "tanh": Kind(_activated("tanh")),
    "PReLU": Kind(_with_layer(layers.PReLU)),
    "PReLU, shared": Kind(_with_layer(lambda: layers.PReLU(shared_axes=(1, 2)))),
    "LeakyReLU": Kind(_with_layer(layers.LeakyReLU)),
    "LayerNormalization + gelu": Kind(_convnext, epochs=25),
    "GroupNormalization": Kind(_group_norm),
    "squeeze and excite": Kind(_excited),
    "ViT, MultiHeadAttention": Kind(_vit(7), epochs=12),
    "ViT, 32×32×3": _rgb(_vit(8), epochs=12),
    # preprocessing inside
    "Normalization, given": Kind(_before(lambda: layers.Normalization(mean=0.13, variance=0.09))),
    "Normalization, adapted": Kind(_before(lambda: layers.Normalization(axis=None)), adapt=True),
    "Normalization, per channel": _rgb(_before(lambda: layers.Normalization()), adapt=True),
    "Normalization, per pixel": Kind(_before(lambda: layers.Normalization(axis=(1, 2, 3))), adapt=True),
    "Rescaling": Kind(_before(lambda: layers.Rescaling(1 / 127.5, offset=-1)), pixels=PixelRange(255)),
    "Random… layers": Kind(_augmented),
    "Resizing": Kind(_before(lambda: layers.Resizing(20, 20)), ImageInput(28, 28)),
    "Resizing, nearest": _rgb(_before(lambda: layers.Resizing(48, 48, interpolation="nearest"))),
    "CenterCrop": _rgb(_before(lambda: layers.CenterCrop(28, 28))),
    # types
    "mixed_float16": _rgb(_cifar, policy="mixed_float16"),
    "mixed_bfloat16": _rgb(_cifar, policy="mixed_bfloat16"),
    "mixed_float16 + Normalization": Kind(
        _before(lambda: layers.Normalization(axis=None)), adapt=True, policy="mixed_float16"
    ),
    # classes and ends
    "26 classes": Kind(_small, classes=26),
    "36 classes": Kind(_small, classes=36),
    "47 classes": Kind(_small, classes=47),
    "62 classes": Kind(_small, classes=62),
    "logits": Kind(_small, end="logits"),
    "log_softmax": Kind(_small, end="log_softmax"),
    "linear end trained with mse": Kind(_small, end="mse"),
    "ten sigmoids": Kind(_small, end="sigmoid"),
    "one sigmoid": Kind(_small, classes=2, end="one_sigmoid"),
    "one logit": Kind(_small, classes=2, end="one_logit"),
    "two classes": Kind(_small, classes=2),
    # layers
    "SeparableConv2D": Kind(_separable),
    "DepthwiseConv2D": Kind(_depthwise),
    "Conv2DTranspose": Kind(_transposed),
    "UpSampling2D": Kind(_upsampled("nearest")),
    "UpSampling2D, bilinear": Kind(_upsampled("bilinear")),
    "Add, Concatenate, GlobalAveragePooling": Kind(_branches, epochs=20),
    "Conv1D over rows": Kind(_rows, shape=(28, 28)),
    "LSTM over rows": Kind(_recurrent(lambda: layers.LSTM(24)), image=ImageInput(16, 16), shape=(16, 16), epochs=10),
    "GRU over rows": Kind(_recurrent(lambda: layers.GRU(24)), image=ImageInput(16, 16), shape=(16, 16), epochs=10),
    "Bidirectional LSTM": Kind(
        _recurrent(lambda: layers.Bidirectional(layers.LSTM(16))), image=ImageInput(16, 16), shape=(16, 16), epochs=10
    ),
}


def pictures(image: ImageInput, classes: int, count: int = IMAGES, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Smooth random patterns, one for each class, at random positions and with noise.

    Returns:
        Images, uint8 (count, *image.shape), and labels, uint8 (count,).
    """
    rng = np.random.default_rng(seed)
    height, width = image.height, image.width
    rows, columns = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    patterns = np.zeros((classes, height, width, image.channels))
    for pattern in patterns:
        for channel in range(image.channels):
            for _ in range(4):
                row, column, size = rng.uniform(0.15, 0.85), rng.uniform(0.15, 0.85), rng.uniform(0.08, 0.2)
                blob = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * size**2))
                pattern[..., channel] = np.maximum(pattern[..., channel], rng.uniform(0.4, 1) * blob)
    labels = (np.arange(count) % classes).astype(np.uint8)
    images = np.empty((count, height, width, image.channels), np.uint8)
    for index, label in enumerate(labels):
        shifted = np.roll(patterns[label], rng.integers(-height // 14, height // 14 + 1, 2), (0, 1))
        noisy = 255 * shifted * rng.uniform(0.7, 1) + rng.normal(0, 8, shifted.shape)
        images[index] = np.clip(noisy, 0, 255)
    return images.reshape(count, *image.shape), labels


def inputs(kind: Kind, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The Keras model's input for images, uint8 (N, H, W[, 3])."""
    pixels = kind.pixels
    values = images.astype(np.float32) * np.float32(pixels.white / 255)
    values = (values - np.asarray(pixels.mean, np.float32)) / np.asarray(pixels.std, np.float32)
    if len(kind.shape) == 3 and kind.shape[0] == 3:
        values = np.moveaxis(values, -1, 1)
    return values.reshape(len(images), *kind.shape)


def fitted(kind: Kind, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> keras.Model:
    """Build a model and fit it without training: batch statistics, and least squares for the last layer."""
    keras.utils.set_random_seed(3)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(kind.policy)
    try:
        image = keras.Input(kind.shape)
        features = kind.body(image)
    finally:
        keras.config.set_dtype_policy(before)
    pixels = inputs(kind, images)
    rng = np.random.default_rng(3)
    for layer in keras.Model(image, features)._flatten_layers():
        _set_biases(layer, rng)
        if kind.adapt and isinstance(layer, layers.Normalization):
            layer.adapt(pixels)
    if kind.epochs:
        model = keras.Model(image, layers.Dense(kind.classes, activation="softmax")(features), name="classifier")
        model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
        model.fit(pixels, labels, epochs=kind.epochs, batch_size=50, verbose=0)
        return model
    columns = 1 if kind.end.startswith("one_") else kind.classes
    last = layers.Dense(columns, dtype="float32")
    outputs = last(features)
    body = keras.Model(image, features)
    _set_statistics(body, pixels)
    rows = np.concatenate(
        [np.asarray(body(pixels[i : i + 100], training=False), np.float64) for i in range(0, len(pixels), 100)]
    )
    rows = np.hstack([rows, np.ones((len(rows), 1))])
    targets = _targets(kind, labels)
    gram = rows @ rows.T
    solved = rows.T @ np.linalg.solve(gram + _RIDGE * np.trace(gram) / len(rows) * np.eye(len(rows)), targets)
    last.set_weights([solved[:-1].astype(np.float32), solved[-1].astype(np.float32)])
    ends = {"softmax": "softmax", "log_softmax": "log_softmax", "sigmoid": "sigmoid", "one_sigmoid": "sigmoid"}
    if kind.end in ends:
        outputs = layers.Activation(ends[kind.end], dtype="float32")(outputs)
    return keras.Model(image, outputs, name="classifier")


def _targets(kind: Kind, labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    if kind.end.startswith("one_"):
        return np.where(labels[:, np.newaxis] == 1, 4.0, -4.0)
    true, other = {"mse": (1.0, 0.0), "sigmoid": (4.0, -4.0)}.get(kind.end, (_TRUE_LOGIT, _OTHER_LOGIT))
    return np.where(labels[:, np.newaxis] == np.arange(kind.classes), true, other)


def _set_biases(layer: Any, rng: np.random.Generator) -> None:
    """Random biases, shifts and gains: Keras's initial zeros and ones would hide errors of their conversion."""
    for variable in layer.trainable_variables if not getattr(layer, "layers", None) else ():
        if variable.name in ("bias", "beta"):
            variable.assign(rng.normal(0, 0.05, variable.shape))
        elif variable.name in ("gamma", "alpha"):
            variable.assign(np.asarray(variable) + rng.uniform(-0.3, 0.3, variable.shape))


def _set_statistics(model: keras.Model, pixels: NDArray[np.float32]) -> None:
    """Set the moving statistics of batch norms to those of the images, layer by layer."""
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, layers.BatchNormalization)]
    for norm in norms:
        norm.momentum = 0.0
    for _ in norms[:1]:
        for layer in model._flatten_layers():
            layer.trainable = isinstance(layer, layers.BatchNormalization)
        model(pixels[:200], training=True)
    for norm in norms:
        norm.momentum = 0.99


@dataclass(frozen=True)
class Outcome:
    """What became of a model in a precision.

    Attributes:
        message: why it was refused; empty if it was exported.
        size_bytes: size of the model file.
        difference: largest difference of a probability from Keras on the validation images.
        int8_share: share of the multiplications in int8.
        float_layers: layers of an int8 model that are float.
        seconds: duration of the export, without the training.
    """

    message: str
    size_bytes: int = 0
    difference: float = 0.0
    int8_share: float = 0.0
    float_layers: tuple[str, ...] = ()
    seconds: float = 0.0


def source_of(name: str) -> tuple[Source, Dataset]:
    """A fitted model of a kind, and the images it was fitted to."""
    kind = KINDS[name]
    images, labels = pictures(kind.image, kind.classes)
    classes = tuple(f"class {number}" for number in range(kind.classes))
    model = in_float32(fitted(kind, images, labels))
    digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    steps = default_steps(kind.image, digits=False)
    data = Dataset("pictures", images, labels, classes, "Apache-2.0", digest, kind.image, steps)
    return Source(name, "classifier", model, kind.pixels, classes, kind.image, steps), data


def outcome(source: Source, data: Dataset, precision: Precision, path: Path) -> Outcome:
    """Export a model to a path."""
    start_s = time.perf_counter()
    try:
        exported = export(source, path, precision=precision, training=data, golden_from_data=True)
    except DigitsEdgeError as error:
        return Outcome(str(error), seconds=time.perf_counter() - start_s)
    return Outcome(
        "",
        exported.size_bytes,
        exported.parity.max_difference,
        exported.metadata.int8_share or 0.0,
        exported.float_layers,
        time.perf_counter() - start_s,
    )
