"""TensorFlow functions of Keras models for the conversion: images in, a single output."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from digits_edge.export.image_layout import ImageLayout
from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.model.image_input import ImageInput

#: A recurrent layer is converted step by step; with more steps, the graph would have many thousands of nodes.
MAX_STEPS = 128


def traced(keras_model: keras.Model, image: ImageInput) -> Any:
    """A `tf.function` from images, float32 (N, H, W) or (N, H, W, 3), to the output of a Keras model.

    Args:
        keras_model: one input, in one of the layouts of `digits_edge.export.image_layout`, and one output.
        image: the images.

    Raises:
        ModelError: the images do not fit the model's input.

    Example:
        >>> model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(10)])
        >>> traced(model, ImageInput()).input_signature
        (TensorSpec(shape=(None, 28, 28), dtype=tf.float32, name='image'),)
    """
    import tensorflow as tf  # takes seconds, and only the conversion needs it

    layout = ImageLayout.of(keras_model.inputs[0].shape)
    if layout.image.shape != image.shape:
        raise ModelError(
            f"images of {image.description} do not fit the model, which takes {layout.image.description}; resize them"
        )

    @tf.function(input_signature=[tf.TensorSpec([None, *image.shape], tf.float32, name="image")])  # type: ignore[untyped-decorator]
    def predict(image: Any) -> Any:
        ordered = tf.transpose(image, [0, 3, 1, 2]) if layout.is_transposed else image
        return call(keras_model, tf.reshape(ordered, [-1, *layout.shape]))

    return predict


def call(keras_model: keras.Model, images: Any) -> Any:
    """Run a Keras model for inference; its only input and output may be in a dict or list."""
    structure = getattr(keras_model, "input", None)
    is_nested = isinstance(structure, dict | list | tuple)
    inputs = keras.tree.pack_sequence_as(structure, [images]) if is_nested else images
    return keras.tree.flatten(keras_model(inputs, training=False))[0]


@contextmanager
def unrolled(keras_model: keras.Model) -> Iterator[None]:
    """Let the recurrent layers of a model compute their steps without a loop, which has no fp16 and int8 form.

    Raises:
        ModelError: a layer has too many steps, or an unknown number of steps.
    """
    layers = [layer for layer in keras_model._flatten_layers() if isinstance(layer, keras.layers.RNN)]
    settings = [layer.unroll for layer in layers]
    try:
        for layer in layers:
            _check_steps(layer)
            layer.unroll = True
        yield
    finally:
        for layer, setting in zip(layers, settings, strict=True):
            layer.unroll = setting


def _check_steps(layer: keras.layers.RNN) -> None:
    config = layer.get_build_config() or {}
    shape = config.get("input_shape") or config.get("sequences_shape") or ()
    steps = tuple(shape)[1] if len(shape) > 1 else None
    if steps is None or steps > MAX_STEPS:
        count = "an unknown number of" if steps is None else str(steps)
        raise ModelError(
            f"the recurrent layer {layer.name} has {count} steps, more than {MAX_STEPS}; "
            "shorten the sequence with a strided convolution or pooling before it"
        )
