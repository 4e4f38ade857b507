"""Fixtures: small networks trained on synthetic digits, so that export tests need no data set."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="exporting needs the extras [train] and [export]")

from keras import layers  # noqa: E402

from digits_edge.export import Source, read_source  # noqa: E402
from digits_edge.runtime.datasets import Dataset  # noqa: E402
from digits_edge.runtime.datasets.synthetic_digits import draw_digit  # noqa: E402
from digits_edge.runtime.model.pixel_range import PixelRange  # noqa: E402
from digits_edge.runtime.preprocessing.mnist_format import to_mnist_format  # noqa: E402


@pytest.fixture(scope="session")
def drawn(make_once: Callable[..., Path]) -> Dataset:
    """1,000 synthetic digits, drawn at a small size to save time."""
    labels = (np.arange(1000) % 10).astype(np.uint8)

    def draw(path: Path) -> None:
        rng = np.random.default_rng(7)
        images = [to_mnist_format(draw_digit(int(label), rng, size=48)).image for label in labels]
        np.save(path, np.stack(images))

    images = np.load(make_once("drawn.npy", draw))
    content = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    return Dataset("drawn", images, labels, tuple("0123456789"), "Apache-2.0", content)


def batch_norm_before_pooling(image: Any) -> Any:
    """Like `cnn`: all BatchNorms can be folded."""
    x = image
    for filters in (8, 12):
        x = layers.Conv2D(filters, 3, activation="relu")(x)
        x = layers.BatchNormalization(momentum=0.8)(x)
        x = layers.Dropout(0.1)(layers.MaxPooling2D(2)(x))
    x = layers.Dense(24, activation="relu")(layers.Flatten()(x))
    return layers.Dense(10)(layers.BatchNormalization(momentum=0.8)(x))


def residual(image: Any) -> Any:
    """Like `resnet`."""
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.8)(layers.Conv2D(8, 3, padding="same")(image)))
    y = layers.BatchNormalization(momentum=0.8)(layers.Conv2D(8, 3, padding="same")(x))
    x = layers.MaxPooling2D(2)(layers.ReLU()(layers.Add()([x, y])))
    return layers.Dense(10)(layers.Flatten()(x))


def batch_norm_before_padding(image: Any) -> Any:
    """Like `kaggle-cnn`: a shift before a padded convolution cannot be folded."""
    x = layers.Conv2D(8, 5, padding="same", activation="relu")(layers.Rescaling(1 / 255)(image))
    x = layers.BatchNormalization(momentum=0.8)(layers.MaxPooling2D(2)(x))
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    return layers.Dense(10)(layers.Flatten()(layers.MaxPooling2D(2)(x)))


def softmax_rows(image: Any) -> Any:
    """Dense layers on rows of 784, with probabilities as output."""
    return layers.Dense(10, activation="softmax")(layers.Dense(32, activation="relu")(image))


def pooled(image: Any) -> Any:
    """Input 28×28 without a channel axis, global average pooling, and a separate softmax layer."""
    x = layers.Conv2D(16, 3, strides=2, activation="relu")(layers.Reshape((28, 28, 1))(image))
    x = layers.Conv2D(24, 3, strides=2, activation="relu")(x)
    return layers.Softmax()(layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def dense_on_pixels(image: Any) -> Any:
    """A dense layer on the feature map, without Flatten before its Gemm."""
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(image)
    return layers.Dense(10)(layers.Flatten()(layers.Dense(6, activation="relu")(x)))


def batch_norm_of_rows(image: Any) -> Any:
    """BatchNorm over rows of pixels: a scale per row instead of per channel."""
    x = layers.BatchNormalization(axis=1, momentum=0.8)(image)
    return layers.Dense(10)(layers.Flatten()(layers.Dense(6, activation="relu")(x)))


#: Kind → layers, input shape, input scale.
KINDS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...], int]] = {
    "batch-norm-before-pooling": (batch_norm_before_pooling, (28, 28, 1), 1),
    "residual": (residual, (28, 28, 1), 1),
    "batch-norm-before-padding": (batch_norm_before_padding, (28, 28, 1), 255),
    "softmax-rows": (softmax_rows, (784,), 1),
    "pooled": (pooled, (28, 28), 1),
    "dense-on-pixels": (dense_on_pixels, (28, 28, 1), 1),
    "batch-norm-of-rows": (batch_norm_of_rows, (28, 28), 1),
}


@pytest.fixture(scope="session")
def trained(drawn: Dataset, make_once: Callable[..., Path]) -> Callable[[str], Path]:
    """A function that returns the `.keras` file of a kind of network and trains it on the first call."""

    def train(kind: str) -> Path:
        def write(path: Path) -> None:
            body, shape, input_scale = KINDS[kind]
            keras.utils.set_random_seed(3)
            image = keras.Input(shape)
            model = keras.Model(image, body(image), name=kind.replace("-", "_"))
            in_softmax = kind in ("softmax-rows", "pooled")
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=not in_softmax)
            model.compile(keras.optimizers.Adam(0.005), loss)
            pixels = drawn.images.reshape(-1, *shape).astype(np.float32) * input_scale / 255
            model.fit(pixels, drawn.labels, epochs=6, batch_size=50, verbose=0)
            model.save(path)

        return make_once(f"{kind}.keras", write)

    return train


@pytest.fixture
def source(trained: Callable[[str], Path], request: pytest.FixtureRequest) -> Source:
    """A trained network of the kind that the test selects."""
    return read_source(trained(request.param), pixel_range=PixelRange(KINDS[request.param][2]))
