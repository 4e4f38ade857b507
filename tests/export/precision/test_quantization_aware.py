"""Quantization-aware fine-tuning makes a model robust to int8 rounding."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from digits_edge.export import Int8Options, Source, export, read_source
from digits_edge.export.precision.quantization_aware import fine_tuned
from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.model.pixel_range import PixelRange


@pytest.fixture(scope="module")
def coarse(drawn: Dataset) -> Source:
    """Trained dense layers with one large weight per channel, so that few quantization steps remain for all others.

    The large weight belongs to a corner pixel, which is black in every image, so float predictions do not change.
    """
    keras.utils.set_random_seed(3)
    hidden = keras.layers.Dense(32, activation="relu")
    model = keras.Sequential([keras.Input((784,)), hidden, keras.layers.Dense(10, activation="softmax")])
    source = Source("coarse", "coarse", model, PixelRange(1), drawn.class_names)
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy")
    model.fit(source.inputs(drawn.images), drawn.labels, epochs=6, batch_size=50, verbose=0)
    kernel = np.asarray(hidden.kernel).copy()
    kernel[0] = 80 * np.abs(kernel).max(axis=0)
    hidden.kernel.assign(kernel)
    return source


def test_original_model_is_not_modified(trained: Callable[[str], Path], drawn: Dataset):
    source = read_source(trained("softmax-rows"), pixel_range=PixelRange(1))
    inputs = source.inputs(drawn.images[:200])
    before = [weights.copy() for weights in source.model.get_weights()]
    epochs = []
    tuned = fine_tuned(source.model, inputs, inputs[:50], epochs=2, listener=epochs.append)
    assert epochs == [1, 2]
    for one, other in zip(before, source.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [type(layer) for layer in tuned.layers] == [type(layer) for layer in source.model.layers]
    assert any(not np.array_equal(one, other) for one, other in zip(before, tuned.get_weights(), strict=True))


@pytest.mark.slow
def test_layer_that_remained_float_can_be_int8_after_fine_tuning(coarse: Source, drawn: Dataset, tmp_path: Path):
    may_be_float = Int8Options(allow_float=True)
    without = export(coarse, tmp_path / "without.onnx", precision="int8", training=drawn, int8=may_be_float)
    options = Int8Options(quantization_aware_epochs=20)
    tuned = export(coarse, tmp_path / "tuned.onnx", precision="int8", training=drawn, int8=options)
    assert without.float_layers == ("gemm_1",)
    assert tuned.float_layers == ()
    assert tuned.metadata.overflow_free


@pytest.mark.parametrize("source", ["residual"], indirect=True)
def test_float_precision_rejects_quantization_aware_epochs(source: Source, drawn: Dataset, tmp_path: Path):
    with pytest.raises(UsageError, match="quantization-aware training is for int8, not fp32"):
        export(
            source, tmp_path / "m.onnx", precision="fp32", training=drawn, int8=Int8Options(quantization_aware_epochs=1)
        )
