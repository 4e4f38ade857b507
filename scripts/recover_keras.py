"""Recover Keras run folders from a model file whose own run was lost.

The weights are those of the file; for int8, the integers times their scales. A run recovered from an fp32 file equals
the original, except for the batch normalization that export folded into the weights. A run recovered from an int8 file
predicts what that file predicts.

    python scripts/recover_keras.py fashion-int8.onnx --name cnn-small -o model_sources/fashion
    python scripts/recover_keras.py edge-ensemble-int8.onnx -o runs/ensemble    # one folder for each member
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from digits_edge.runtime.model.model_file import METADATA_KEY, Metadata, read_model_file
from digits_edge.train.models.architectures import build, input_scale, structure_of
from digits_edge.train.training.recipe import named_recipe, recipe_to_json

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """A convolution or dense layer.

    Attributes:
        weights: in ONNX layout, (out, in, H, W) or (in, out).
        bias: (out,).
        stride: of a convolution, in both directions; 1 for dense layers.
    """

    weights: Array
    bias: Array
    stride: int = 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a run folder for each network in the file; `arguments` are those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="model file")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="run folder, or for an ensemble the folder of all members"
    )
    options = parser.parse_args(arguments)
    model = onnx.load_from_string(read_model_file(options.file))
    metadata = Metadata.from_json(next(p.value for p in model.metadata_props if p.key == METADATA_KEY))
    layers = layers_of(model.graph)
    if metadata.precision != "int8":  # export folds the scale of the pixels into the first layer
        first, layer = next(iter(layers.items()))
        layers[first] = replace(layer, weights=layer.weights * 255)
    if not metadata.members:
        own = [*layers.values()]
        _write(options.output, metadata.architecture, own, metadata.temperature, metadata, options.file)
    for number, member in enumerate(metadata.members, start=1):
        own = [layer for name, layer in layers.items() if name.startswith(f"member_{number}_")]
        folder = options.output / f"member-{number}"
        _write(folder, member.architecture, own, member.temperature, metadata, options.file)


def layers_of(graph: onnx.GraphProto) -> dict[str, Layer]:
    """Return every Conv and Gemm by node name, in the order of the graph, first convolutions over one channel."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}

    def value(name: str) -> Array:
        if name in constants:
            return constants[name].astype(np.float32)
        node = producers[name]
        assert node.op_type == "DequantizeLinear", node.op_type
        quantized, scale, zero_point = (constants[part] for part in node.input)
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        shape = [-1 if index == axis % quantized.ndim else 1 for index in range(quantized.ndim)] if scale.ndim else []
        shifted = quantized.astype(np.float64) - zero_point.astype(np.float64).reshape(shape)
        return (shifted * scale.astype(np.float64).reshape(shape)).astype(np.float32)

    def stride(node: onnx.NodeProto) -> int:
        return next((a.ints[0] for a in node.attribute if a.name == "strides"), 1)

    return {
        node.name: _of_one_channel(Layer(value(node.input[1]), value(node.input[2]), stride(node)))
        for node in graph.node
        if node.op_type in ("Conv", "Gemm")
    }


def keras_model(architecture: str, layers: list[Layer], temperature: float) -> keras.Model:
    """Build an architecture with these weights, which also determine its structure."""
    model = build(architecture, classes=layers[-1].weights.shape[1], **_structure(layers, architecture))
    weighted = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)]
    last_channels = len(_convolutions(layers)[-1].weights)
    flattened = True
    for layer, stored in zip(weighted, layers, strict=True):
        weights, bias = stored.weights, stored.bias
        if isinstance(layer, keras.layers.Conv2D):
            layer.kernel.assign(weights.transpose(2, 3, 1, 0))
        else:
            if flattened:  # ONNX flattens channels first, Keras channels last
                side = int((len(weights) // last_channels) ** 0.5)
                weights = weights.reshape(last_channels, side, side, -1).transpose(1, 2, 0, 3).reshape(len(weights), -1)
                flattened = False
            layer.kernel.assign(weights)
        if layer is weighted[-1]:
            layer.kernel.assign(np.asarray(layer.kernel) * temperature)
            bias = bias * temperature
        if layer.use_bias:
            layer.bias.assign(bias)
        else:
            _normalisation_after(model, layer).beta.assign(bias)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_variance.assign(np.full(layer.moving_variance.shape, 1 - layer.epsilon))
    return model


def _convolutions(layers: list[Layer]) -> list[Layer]:
    return [layer for layer in layers if layer.weights.ndim == 4]


def _structure(layers: list[Layer], architecture: str) -> dict[str, list[int]]:
    """Return the settings of an architecture; a residual block has three convolutions of the same width."""
    convolutions = _convolutions(layers)
    widths = [len(layer.weights) for layer in convolutions]
    if architecture == "resnet":
        return {"filters": widths[::3]}
    if architecture != "edge":
        return {"filters": widths}
    kernels = [layer.weights.shape[-1] for layer in convolutions]
    return {"filters": widths, "kernels": kernels, "strides": [layer.stride for layer in convolutions]}


def _of_one_channel(layer: Layer) -> Layer:
    """Undo what export does to a first convolution, whose kernel is a square.

    Stacked columns: (out, 4, H, 1) → (out, 1, H, H). Space-to-depth: (out, 4, H, W) → (out, 1, 2·H - 1, 2·W - 1),
    because kernels are odd.
    """
    weights = layer.weights
    if weights.ndim != 4 or weights.shape[1] != 4:
        return layer
    out, _, height, width = weights.shape
    if width == 1:
        return replace(layer, weights=weights[:, :height].transpose(0, 3, 2, 1))
    spread = weights.reshape(out, 2, 2, height, width).transpose(0, 3, 1, 4, 2).reshape(out, 1, 2 * height, 2 * width)
    return Layer(spread[:, :, :-1, :-1], layer.bias, 2 * layer.stride)


def _normalisation_after(model: keras.Model, layer: Any) -> Any:
    following = model.layers[model.layers.index(layer) + 1]
    assert isinstance(following, keras.layers.BatchNormalization)
    return following


def _write(
    folder: Path, architecture: str, layers: list[Layer], temperature: float, metadata: Metadata, source: Path
) -> None:
    model = keras_model(architecture, layers, temperature)
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "model.keras")
    recipe = named_recipe("best", architecture, data=metadata.data["name"])
    usual = structure_of(architecture)
    changed = {name: value for name, value in _structure(layers, architecture).items() if value != usual.get(name)}
    if changed:
        recipe = replace(recipe, structure=changed)
    about = {
        "schema_version": 1,
        "recipe": recipe_to_json(recipe),
        "data": {**metadata.data, "classes": list(metadata.labels), "input_scale": input_scale(model)},
        "versions": {
            name.removeprefix("trained with "): version
            for name, version in metadata.versions.items()
            if name.startswith("trained with ")
        },
        "recovered_from": {
            "name": metadata.name,
            "version": metadata.version,
            "sha256": read_model_file(source)[-64:].decode(),
        },
    }
    (folder / "recipe.json").write_text(json.dumps(about, indent=2) + "\n")
    print(f"{folder}: {architecture}, {model.count_params():,} parameters")


if __name__ == "__main__":
    main()
