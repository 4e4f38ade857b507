"""Fused batch normalization trains like Keras's."""

import keras
import numpy as np
import pytest

from digits_edge.train.models.batch_norm import with_fused_batch_norm


def _small_model() -> keras.Model:
    keras.utils.set_random_seed(3)
    image = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(4, 3)(image)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Flatten()(keras.layers.ReLU()(x))
    x = keras.layers.BatchNormalization()(keras.layers.Dense(5)(x))
    return keras.Model(image, keras.layers.Dense(3)(x))


def _train(model: keras.Model) -> tuple[list[float], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    images, targets = rng.normal(2, 3, (40, 6, 6, 2)).astype("f4"), rng.integers(0, 3, 40)
    model.compile(keras.optimizers.SGD(0.05), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = model.fit(images, targets, batch_size=8, epochs=4, shuffle=False, verbose=0).history["loss"]
    return losses, model.get_weights()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the fused kernel is of TensorFlow")
def test_fused_training_agrees_with_keras():
    model = _small_model()
    fused = with_fused_batch_norm(model)
    assert [type(layer).__name__ for layer in fused.layers].count("_FusedBatchNormalization") == 1, (
        "only the one of images"
    )
    assert [layer.name for layer in fused.layers[1:]] == [layer.name for layer in model.layers[1:]]
    images = np.random.default_rng(1).normal(size=(5, 6, 6, 2)).astype("f4")
    np.testing.assert_array_equal(fused(images, training=False), model(images, training=False))

    losses, weights = _train(model)
    fused_losses, fused_weights = _train(fused)
    np.testing.assert_allclose(fused_losses, losses, rtol=1e-4)
    for fused_weight, weight in zip(fused_weights, weights, strict=True):
        np.testing.assert_allclose(fused_weight, weight, rtol=1e-3, atol=1e-5)
