"""Keras classifiers described by bytes: dtype policies, layers and outputs as foreign models have them."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

POLICIES = ("float32", "mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64")
_SHAPES = ((28, 28, 1), (28, 28), (784,))
_ENDS = (None, "softmax", "sigmoid", "log_softmax", "relu", "tanh")
MAX_LAYERS = 4


def keras_model(content: bytes) -> Any | None:
    """Build the model that bytes describe.

    Args:
        content: dtype policy, input shape, output activation, policy of the output, and one byte for each layer.

    Returns:
        An untrained `keras.Model` with ten classes; None if the bytes are too few or Keras refuses the combination.
    """
    import keras

    if len(content) < 4:
        return None
    policy, shape, end, end_policy, *layers = content
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[policy % len(POLICIES)])
    try:
        keras.utils.set_random_seed(0)
        image = keras.Input(_SHAPES[shape % len(_SHAPES)])
        x = image if len(image.shape) == 4 else keras.layers.Reshape((28, 28, 1))(image)
        choices = _layers(keras.layers)
        for number in layers[:MAX_LAYERS]:
            x = choices[number % len(choices)]()(x)
        x = keras.layers.Flatten()(x)
        own = {} if end_policy % 2 else {"dtype": "float32"}
        return keras.Model(image, keras.layers.Dense(10, activation=_ENDS[end % len(_ENDS)], **own)(x))
    except (ValueError, TypeError):
        return None
    finally:
        keras.config.set_dtype_policy(before)


def keras_file(content: bytes) -> bytes | None:
    """The `.keras` file of a model, untrained; None as in `keras_model`."""
    model = keras_model(content)
    if model is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        return path.read_bytes()


def _layers(layers: Any) -> tuple[Callable[[], Any], ...]:
    return (
        lambda: layers.Conv2D(4, 3, activation="relu"),
        lambda: layers.Conv2D(4, 3, padding="same", dilation_rate=2),
        lambda: layers.SeparableConv2D(4, 3),
        lambda: layers.DepthwiseConv2D(3),
        lambda: layers.Conv2DTranspose(4, 3),
        lambda: layers.BatchNormalization(),
        lambda: layers.LayerNormalization(),
        lambda: layers.GroupNormalization(1),
        lambda: layers.UnitNormalization(),
        lambda: layers.MaxPooling2D(2),
        lambda: layers.AveragePooling2D(2),
        lambda: layers.Rescaling(1 / 255),
        lambda: layers.Normalization(mean=0.1, variance=0.3),
        lambda: layers.Dropout(0.2),
        lambda: layers.GaussianNoise(0.1),
        lambda: layers.RandomRotation(0.1),
        lambda: layers.Dense(6, activation="gelu"),
        lambda: layers.PReLU(),
        lambda: layers.ZeroPadding2D(1),
        lambda: layers.Cropping2D(1),
        lambda: layers.UpSampling2D(2),
        lambda: layers.Conv2D(4, 3, dtype="mixed_bfloat16"),
        lambda: layers.Activation("softmax", dtype="float32"),
    )
