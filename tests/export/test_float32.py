"""Keras models of any floating-point dtype policy are exported in float32."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

keras = pytest.importorskip("keras", reason="needs the extra [export]")
pytest.importorskip("tf2onnx", reason="needs the extra [export]")

from digits_edge.export import export, read_source  # noqa: E402
from digits_edge.export import source as sources  # noqa: E402
from digits_edge.export.float32 import in_float32  # noqa: E402
from digits_edge.runtime import Classifier, DigitsEdgeError  # noqa: E402
from digits_edge.runtime.datasets import Dataset  # noqa: E402
from digits_edge.runtime.errors import ModelError  # noqa: E402
from digits_edge.runtime.model.pixel_range import PixelRange  # noqa: E402
from fuzz.keras_models import MAX_LAYERS, POLICIES, keras_file, keras_model  # noqa: E402
from tests.export.conftest import fit  # noqa: E402

POLICY = st.integers(0, len(POLICIES) - 1)


def fitted(policy: str, images: Dataset, *, own_end: bool) -> keras.Model:
    """A small fitted classifier in a dtype policy; the output layer in float32, as Keras's guide says, or not."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    stack = [
        keras.Input((28, 28, 1)),
        layers.Conv2D(8, 5, strides=2, dtype=policy),
        layers.BatchNormalization(dtype=policy, momentum=0.8),
        layers.ReLU(dtype=policy),
        layers.Flatten(dtype=policy),
        layers.Dense(10, activation="softmax", dtype=policy if own_end else "float32"),
    ]
    model = keras.Sequential(stack)
    output = stack[0]
    for layer in stack[1:]:
        output = layer(output)
    functional = keras.Model(stack[0], output)  # the same layers
    fit(functional, images.images[..., None] / np.float32(255), images.labels, ridge=3e-3)
    return model


@pytest.mark.parametrize(
    ("policy", "own_end"),
    [
        ("mixed_float16", True),
        pytest.param("mixed_bfloat16", False, marks=pytest.mark.slow),
        pytest.param("mixed_float16", False, marks=pytest.mark.slow),
        pytest.param("mixed_bfloat16", True, marks=pytest.mark.slow),
        pytest.param("float64", True, marks=pytest.mark.slow),
        pytest.param("float64", False, marks=pytest.mark.slow),
    ],
)
def test_fitted_model_is_exported_in_every_precision_and_predicts_like_keras(
    drawn: Dataset, tmp_path: Path, policy: str, own_end: bool
) -> None:
    model = fitted(policy, drawn, own_end=own_end)
    model.save(tmp_path / "model.keras")
    own = np.asarray(model.predict(drawn.images[:100, ..., None] / 255, verbose=0), np.float32).argmax(axis=1)
    source = read_source(tmp_path / "model.keras", pixel_range=PixelRange(1))
    for precision in ("fp32", "fp16", "int8"):
        exported = export(source, tmp_path / f"{precision}.onnx", precision=precision, training=drawn)
        with Classifier(exported.path, provider="cpu") as classifier:
            assert (classifier.predict_batch(drawn.images[:100]).argmax(axis=1) == own).mean() >= 0.97


@given(POLICY, POLICY)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_copy_has_the_same_weights_and_float32_outputs(policy: int, end: int) -> None:
    model = keras_model(bytes((policy, 0, 1, end, 0, 5)))
    copy = in_float32(model)
    assert {layer.compute_dtype for layer in copy.layers} == {"float32"}
    for before, after in zip(model.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(np.asarray(before, np.float32), after)
    assert in_float32(copy) is copy


def sequential() -> keras.Model:
    layers = keras.layers
    stack = [layers.Conv2D(3, 3, activation="relu"), layers.BatchNormalization(), layers.Dropout(0.1)]
    return keras.Sequential([keras.Input((8, 8, 1)), *stack, layers.Flatten(), layers.Dense(3)])


def functional() -> keras.Model:
    image = keras.Input((8, 8, 1))
    x = keras.layers.SeparableConv2D(3, 3, padding="same")(image)
    x = keras.ops.relu(keras.layers.Add()([x, image])) * 0.5
    return keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))


def nested() -> keras.Model:
    image = keras.Input((8, 8, 1))
    inner = keras.Model(image, keras.layers.Conv2D(2, 3)(image))
    rows = keras.Sequential([keras.Input((6, 12)), keras.layers.TimeDistributed(keras.layers.Dense(2))])
    other = keras.Input((8, 8, 1))
    return keras.Model(other, keras.layers.Flatten()(rows(keras.layers.Reshape((6, 12))(inner(other)))))


def preprocessing() -> keras.Model:
    layers = keras.layers
    stack = [layers.Rescaling(1 / 255), layers.RandomFlip(), layers.RandomRotation(0.1), layers.Resizing(6, 6)]
    return keras.Sequential([keras.Input((8, 8, 1)), *stack, layers.CenterCrop(4, 4), layers.Flatten()])


def normalization() -> keras.Model:
    adapted = keras.layers.Normalization()
    adapted.adapt(np.random.default_rng(0).normal(100, 30, (20, 8, 8, 1)))
    inner = keras.Sequential([keras.Input((8, 8, 1)), adapted])
    given = keras.layers.Normalization(mean=[0.5], variance=[4.0])
    return keras.Sequential([keras.Input((8, 8, 1)), inner, given, keras.layers.Flatten(), keras.layers.Dense(3)])


@pytest.mark.parametrize("build", [sequential, functional, nested, preprocessing, normalization])
@pytest.mark.parametrize(
    ("policy", "tolerance"),
    [
        ("mixed_float16", 0.01),
        pytest.param("mixed_bfloat16", 0.05, marks=pytest.mark.slow),
        pytest.param("float16", 0.01, marks=pytest.mark.slow),
        ("bfloat16", 0.05),
        ("float64", 1e-5),
    ],
)
def test_copy_of_any_kind_of_model_predicts_like_it(
    build: Callable[[], keras.Model], policy: str, tolerance: float
) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        keras.utils.set_random_seed(1)
        model = build()
    finally:
        keras.config.set_dtype_policy(before)
    images = np.random.default_rng(1).uniform(0, 255, (3, 8, 8, 1)).astype(np.float32)
    expected = np.asarray(keras.ops.cast(model(images, training=False), "float32"))
    found = np.asarray(in_float32(model)(images, training=False))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())


def test_model_quantized_by_keras_is_refused() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="end")])
    model.quantize("int8")
    with pytest.raises(ModelError, match=r"the layer end was quantized by Keras; .* before model\.quantize"):
        in_float32(model)


class Stubborn(keras.layers.Layer):
    """A layer that does not follow its dtype policy."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "dtype": "float64"})


def test_custom_layer_that_sets_its_type_is_named() -> None:
    model = keras.Sequential([keras.Input((4,)), Stubborn(), keras.layers.Dense(3)])
    with pytest.raises(ModelError, match=r"the layer stubborn\w* sets the type float64 in its code"):
        in_float32(model, {"Stubborn": Stubborn})


def test_dtypes_of_integers_are_unchanged() -> None:
    image = keras.Input((28, 28, 1), dtype="uint8")
    model = keras.Model(image, keras.layers.Dense(10)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))))
    assert in_float32(model).inputs[0].dtype == "uint8"


@given(st.tuples(POLICY, st.integers(0, 2), st.integers(0, 5), st.integers(0, 1)), st.data())
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_model_is_converted_or_refused_with_a_documented_error(
    drawn: Dataset, tmp_path_factory: pytest.TempPathFactory, head: tuple[int, ...], data: st.DataObject
) -> None:
    layers = data.draw(st.lists(st.integers(0, 30), max_size=MAX_LAYERS))
    content = keras_file(bytes((*head, *layers)))
    assume(content is not None)
    folder = tmp_path_factory.mktemp("any")
    (folder / "model.keras").write_bytes(content)
    precision = data.draw(st.sampled_from(["fp32", "fp16", "int8"]))
    with pytest.MonkeyPatch.context() as patch:
        # an untrained model has no confident predictions, which would end the export before the conversion
        outputs = sources.Source.outputs
        patch.setattr(sources.Source, "outputs", lambda self, images: 50 * outputs(self, images))
        with suppress(DigitsEdgeError):
            source = read_source(folder / "model.keras", pixel_range=PixelRange(1))
            export(source, folder / "model.onnx", precision=precision, training=drawn)
