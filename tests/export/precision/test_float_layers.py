"""The search for float layers: few evaluations, bounded time, and a set that passes."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from digits_edge.export import Int8Options, Source, export
from digits_edge.export.graph.convert import convert
from digits_edge.export.precision.float_layers import MAX_MEASURING_S, MAX_SEARCH_S, find_float_layers
from digits_edge.export.precision.quantize import Quantizer, layer_names, quantize
from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.model.pixel_range import PixelRange
from tests.export.conftest import fit


class Model:
    """Layers whose effects in int8 add up, and a clock that each evaluation advances."""

    def __init__(self, effects: Sequence[float], limit: float, seconds: float = 0.0) -> None:
        self.effects = {f"layer_{number}": effect for number, effect in enumerate(effects)}
        self.limit, self.seconds, self.now_s = limit, seconds, 0.0
        self.checks = self.measurements = 0

    def passes(self, float_layers: Sequence[str]) -> bool:
        self.checks += 1
        self.now_s += self.seconds
        return sum(effect for layer, effect in self.effects.items() if layer not in float_layers) <= self.limit

    def sensitivity(self, layer: str) -> float:
        self.measurements += 1
        self.now_s += self.seconds
        return self.effects[layer]

    def search(self, listener: Callable[[str], None] = lambda step: None) -> tuple[str, ...] | None:
        return find_float_layers(
            list(self.effects), self.passes, self.sensitivity, listener=listener, clock=lambda: self.now_s
        )


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=80), st.integers(0, 3000))
def test_smallest_set_is_found_with_few_evaluations(effects: list[int], limit: int) -> None:
    model = Model(effects, limit)
    found = model.search()
    assert found is not None and model.passes(found)
    largest_first, rest = sorted(effects, reverse=True), sum(effects)
    smallest = 0
    while rest > limit:
        rest -= largest_first[smallest]
        smallest += 1
    assert len(found) == smallest or len(effects) == 1
    assert found == tuple(layer for layer in model.effects if layer in found), "in the order of the graph"
    assert model.measurements <= len(effects)
    assert model.checks <= 4 + 2 * math.log2(len(effects) + 1)


def test_model_that_passes_is_not_measured() -> None:
    model = Model([1, 2, 3], limit=6)
    assert (model.search(), model.checks, model.measurements) == ((), 1, 0)


def test_model_that_never_passes_is_not_measured() -> None:
    model = Model([1, 2, 3], limit=-1)
    assert (model.search(), model.checks, model.measurements) == (None, 2, 0)


@pytest.mark.parametrize("seconds", [1.0, 7.0, 60.0, 500.0])
@pytest.mark.parametrize("count", [2, 57, 400])
def test_time_is_bounded(seconds: float, count: int) -> None:
    model = Model([1.0] * count, limit=count / 2 + 0.1, seconds=seconds)
    found = model.search()
    assert found is not None and model.passes(found), "the best set so far"
    assert model.now_s <= MAX_SEARCH_S + MAX_MEASURING_S + 5 * seconds


def test_every_step_is_reported() -> None:
    steps: list[str] = []
    model = Model([5, 1, 1, 1, 1, 1, 1, 1], limit=6)
    model.search(steps.append)
    assert len(steps) == model.checks + model.measurements - 1
    assert "measuring the effect of int8, layer 8 of 8" in steps
    assert all("\n" not in step for step in steps)


def deep(image: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    for _ in range(8):
        y = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
        x = layers.ReLU()(layers.Add()([x, layers.Conv2D(8, 3, padding="same")(y)]))
    return layers.Dense(10)(layers.Flatten()(x))


def test_quantizer_gives_the_same_graph_as_a_single_quantization(drawn: Dataset) -> None:
    keras.utils.set_random_seed(1)
    image = keras.Input((28, 28, 1))
    model = convert(keras.Model(image, deep(image)))
    images = drawn.images[:100].astype(np.float32) / 255
    names = layer_names(model)
    with Quantizer(model, images) as quantizer:
        for float_layers in ((), names[:1], names[3:7], names):
            again = ir.to_proto(quantizer(float_layers)).SerializeToString(deterministic=True)
            once = ir.to_proto(quantize(model, images, float_layers=float_layers)).SerializeToString(deterministic=True)
            assert again == once


def chain(image: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(image)
    for _ in range(7):
        x = layers.Conv2D(8, 3, padding="same", activation="relu", kernel_initializer="he_normal")(x)
    return layers.Dense(10)(layers.Flatten()(x))


@pytest.mark.parametrize("position", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_sensitive_layers_are_found(drawn: Dataset, tmp_path: Path, position: int) -> None:
    """Half of the channels between two layers are scaled by 1,024, so that 8 bits cannot represent the others."""
    keras.utils.set_random_seed(1)
    image = keras.Input((28, 28, 1))
    model = keras.Model(image, chain(image))
    fit(model, drawn.images[..., None] / np.float32(255), drawn.labels, ridge=3e-3)
    pair = slice(position, position + 2)
    first, second = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)][pair]
    factors = np.array([1024, 1] * 4, np.float32)
    (kernel, bias), (next_kernel, next_bias) = first.get_weights(), second.get_weights()
    first.set_weights([kernel * factors, bias * factors])
    second.set_weights([next_kernel / factors[:, np.newaxis], next_bias])
    steps: list[str] = []
    source = Source("chain", "chain", model, PixelRange(1), drawn.class_names)
    may_be_float = Int8Options(allow_float=True)
    exported = export(
        source, tmp_path / "m.onnx", precision="int8", training=drawn, int8=may_be_float, listener=steps.append
    )
    names = layer_names(convert(model))
    assert set(names[pair]) <= set(exported.float_layers)
    assert len(exported.float_layers) <= 4
    assert len([step for step in steps if step.startswith("measuring")]) == len(names) == 9


def test_graph_of_float_layers_is_float(drawn: Dataset) -> None:
    image = keras.Input((28, 28, 1))
    model = convert(keras.Model(image, deep(image)))
    graph = quantize(model, drawn.images[:64].astype(np.float32) / 255, float_layers=layer_names(model)).graph
    assert not {"QuantizeLinear", "DequantizeLinear"} & {node.op_type for node in graph}
