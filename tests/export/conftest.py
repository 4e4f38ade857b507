"""Fixtures: small networks fitted to synthetic digits, so that export tests need no data set."""

import hashlib
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

keras = pytest.importorskip("keras", reason="exporting needs the extras [train] and [export]")

from keras import layers  # noqa: E402

from digits_edge.export import Exported, Source, export, member, read_source  # noqa: E402
from digits_edge.export.graph.convert import convert  # noqa: E402
from digits_edge.runtime.datasets import Dataset  # noqa: E402
from digits_edge.runtime.datasets.synthetic_digits import draw_digit  # noqa: E402
from digits_edge.runtime.model.image_input import ImageInput  # noqa: E402
from digits_edge.runtime.model.model_file import Precision  # noqa: E402
from digits_edge.runtime.model.pixel_range import PixelRange  # noqa: E402
from digits_edge.runtime.preprocessing.mnist_format import to_mnist_format  # noqa: E402

#: Target logits of the true class and of the others: confident, but not saturated predictions.
_TRUE_LOGIT, _OTHER_LOGIT = 5.0, 0.0


@pytest.fixture(scope="session")
def drawn(make_once: Callable[..., Path]) -> Dataset:
    """1,000 synthetic digits: 250 drawings at a small size in four positions, to save time."""
    labels = (np.arange(1000) % 10).astype(np.uint8)

    def draw(path: Path) -> None:
        rng = np.random.default_rng(7)
        images = np.stack([to_mnist_format(draw_digit(int(label), rng, size=48)).image for label in labels[:250]])
        shifts = ((0, 0), (1, 0), (0, 1), (-1, -1))
        np.save(path, np.concatenate([np.roll(images, shift, (1, 2)) for shift in shifts]))

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
    x = layers.Dense(128, activation="relu")(layers.Flatten()(x))
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
    return layers.Dense(10, activation="softmax")(layers.Dense(128, activation="relu")(image))


def pooled(image: Any) -> Any:
    """Input 28×28 without a channel axis, global average pooling, and a separate softmax layer."""
    x = layers.Conv2D(16, 3, strides=2, activation="relu")(layers.Reshape((28, 28, 1))(image))
    x = layers.Conv2D(128, 11, strides=2, activation="relu")(x)
    return layers.Softmax()(layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def dense_on_pixels(image: Any) -> Any:
    """A dense layer on the feature map, without Flatten before its Gemm."""
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(image)
    return layers.Dense(10)(layers.Flatten()(layers.Dense(6, activation="relu")(x)))


def batch_norm_of_rows(image: Any) -> Any:
    """BatchNorm over rows of pixels: a scale per row instead of per channel."""
    x = layers.BatchNormalization(axis=1, momentum=0.8)(image)
    return layers.Dense(10)(layers.Flatten()(layers.Dense(16, activation="relu")(x)))


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


def fit(model: keras.Model, pixels: np.ndarray, labels: np.ndarray, *, ridge: float) -> None:
    """Fit a network to images without training, which takes seconds to minutes.

    The weights of hidden layers remain, batch norms get the statistics of their inputs, and the last layer with weights
    is fitted by least squares.

    Args:
        model: the network, in place.
        pixels: images in the network's input shape and scale.
        labels: true classes, (N,).
        ridge: regularization, as a fraction of the mean square of the last layer's inputs.
    """

    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    dropouts = [layer for layer in model.layers if isinstance(layer, layers.Dropout)]
    settings = [layer.momentum for layer in norms], [layer.rate for layer in dropouts]
    for norm in norms:
        norm.momentum = 0  # its statistics become those of the batch
    for dropout in dropouts:
        dropout.rate = 0
    model(pixels, training=True)
    for norm, momentum in zip(norms, settings[0], strict=True):
        norm.momentum = momentum
    for dropout, rate in zip(dropouts, settings[1], strict=True):
        dropout.rate = rate
    last = next(layer for layer in reversed(model.layers) if layer.get_weights())
    inputs = keras.ops.convert_to_numpy(keras.Model(model.input, last.input)(pixels, training=False))
    rows = np.hstack([inputs.astype(np.float64), np.ones((len(inputs), 1))])
    targets = np.where(labels[:, np.newaxis] == np.arange(10), _TRUE_LOGIT, _OTHER_LOGIT)
    # the dual form of ridge regression has one equation per image, the primal form one per input of the layer
    if rows.shape[0] < rows.shape[1]:
        gram = rows @ rows.T
        fitted = rows.T @ np.linalg.solve(gram + ridge * np.trace(gram) / len(rows) * np.eye(len(rows)), targets)
    else:
        gram = rows.T @ rows
        fitted = np.linalg.solve(gram + ridge * np.trace(gram) / len(rows) * np.eye(len(gram)), rows.T @ targets)
    last.set_weights([fitted[:-1].astype(np.float32), fitted[-1].astype(np.float32)])


@pytest.fixture(scope="session")
def trained(drawn: Dataset, make_once: Callable[..., Path]) -> Callable[[str], Path]:
    """A function that returns the `.keras` file of a kind of network and fits the network on the first call."""

    def write_network(kind: str, path: Path) -> None:
        body, shape, input_scale = KINDS[kind]
        keras.utils.set_random_seed(3)
        rng = np.random.default_rng(3)
        image = keras.Input(shape)
        model = keras.Model(image, body(image), name=kind.replace("-", "_"))
        for layer in model.layers:
            # Keras's initial biases and shifts are 0 and its gains 1: errors in their conversion would not be noticed
            weights = layer.get_weights()
            if isinstance(layer, layers.BatchNormalization):
                weights[:2] = [rng.uniform(0.5, 1.5, len(weights[0])), rng.normal(0, 0.2, len(weights[0]))]
            elif weights:
                weights[-1] = rng.normal(0, 0.05, len(weights[-1]))
            layer.set_weights(weights)
        pixels = drawn.images.reshape(-1, *shape).astype(np.float32) * input_scale / 255
        fit(model, pixels, drawn.labels, ridge=3e-3)
        model.save(path)

    def train(kind: str) -> Path:
        return make_once(f"{kind}.keras", lambda path: write_network(kind, path))

    return train


@pytest.fixture(scope="session")
def read(trained: Callable[[str], Path]) -> Callable[[str], Source]:
    """A function that returns the fitted network of a kind; tests must not change it."""
    return cache(lambda kind: read_source(trained(kind), pixel_range=PixelRange(KINDS[kind][2])))


@pytest.fixture
def source(read: Callable[[str], Source], request: pytest.FixtureRequest) -> Source:
    """A fitted network of the kind that the test selects; tests must not change it."""
    return read(request.param)


@pytest.fixture(scope="session")
def mislabelled(drawn: Dataset) -> Dataset:
    """The synthetic digits with 1 in 25 labels wrong, without which no temperature could be fitted."""
    rows = np.random.default_rng(1).choice(len(drawn), len(drawn) // 25, replace=False)
    labels = drawn.labels.copy()
    labels[rows] = (labels[rows] + 1) % 10
    return replace(drawn, labels=labels, sha256="2" * 64)


@pytest.fixture(scope="session")
def evaluation_set(mislabelled: Dataset) -> Dataset:
    """The images of `mislabelled` with another checksum, because training images are not accepted as a test set."""
    return replace(mislabelled, sha256="1" * 64)


@cache
def _converted(model: keras.Model, image: ImageInput | None) -> bytes:
    return ir.to_proto(convert(model, image)).SerializeToString()


def convert_once(model: keras.Model, image: ImageInput | None = None) -> ir.Model:
    """A new copy of a Keras model's graph; only the first call converts the model, so tests must not change it."""
    return ir.from_proto(onnx.load_from_string(_converted(model, image)))


@contextmanager
def shared_conversions() -> Iterator[None]:
    """Convert each Keras model only once in all exports; tests must not change it between them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(member, "convert", convert_once)
        yield


@pytest.fixture(scope="session")
def export_once(
    read: Callable[[str], Source], mislabelled: Dataset, evaluation_set: Dataset, make_once: Callable[..., Path]
) -> Callable[[str, Precision], Exported]:
    """A function that returns the model file of a kind of network in a precision, made once for all tests.

    It is calibrated on `mislabelled` and tested on `evaluation_set`.
    """

    def write(kind: str, precision: Precision, folder: Path) -> None:
        folder.mkdir()
        data = {"training": mislabelled, "test": evaluation_set}
        with shared_conversions():
            exported = export(read(kind), folder / "m.onnx", precision=precision, **data)
        (folder / "exported.pickle").write_bytes(pickle.dumps(exported))

    def exported(kind: str, precision: Precision) -> Exported:
        folder = make_once(f"{kind}-{precision}", lambda path: write(kind, precision, path))
        return replace(pickle.loads((folder / "exported.pickle").read_bytes()), path=folder / "m.onnx")

    return exported
