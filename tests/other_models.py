"""Model files of other inputs than 28×28 digits, built without training.

Their predictions follow from their definition, so tests can draw a picture for each class.
"""

import string
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, load_from_string, numpy_helper

from digits_edge.runtime.checks.parity import GOLDEN_TOLERANCE
from digits_edge.runtime.model.golden import GoldenValues
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.model_file import GOLDEN_KEY, METADATA_KEY, Metadata, OutputKind, with_digest
from digits_edge.runtime.model.steps import CenterCropStep, DigitStep, ObjectStep, PreprocessingStep, ResizeStep

#: Classes of the model of photographs: red, green and blue pictures.
COLOURS = ("tomato", "leaf", "sky")
#: Classes of the model of objects, with independent probabilities: rows of the image that the object covers.
POSITIONS = ("top", "upper", "middle", "lower", "bottom")


def write_photographs(path: Path) -> None:
    """Write a model of colour photographs, 32×32×3, whose class is the strongest colour of the picture."""
    image = ImageInput(32, 32, 3, "as-photographed")
    steps = ResizeStep(32, 32, "cover"), CenterCropStep(32, 32)
    levels = np.zeros((3, 32, 32, 3), np.uint8)
    for colour in range(3):
        levels[colour, :, :, colour] = 200
    _write(path, _metadata("photographs", COLOURS, image, steps), levels, 0.05 * np.eye(3), np.zeros(3), axes=(1, 2))


def write_positions(path: Path) -> None:
    """Write a model of objects, 64×64 grey, with a sigmoid for each fifth of the rows: is any of the object there?"""
    image = ImageInput(64, 64)
    weights = np.zeros((64, 5))
    for row in range(64):
        weights[row, row * 5 // 64] = 0.05
    levels = np.zeros((5, 64, 64), np.uint8)
    for position in range(5):
        levels[position, position * 13 : position * 13 + 10, 20:40] = 255
    metadata = _metadata("positions", POSITIONS, image, (ObjectStep(56, 64),), output="sigmoid")
    _write(path, metadata, levels, weights, np.full(5, -5.0), axes=(2,))


def write_letters(path: Path) -> None:
    """Write a model of 26 letters, 32×32 grey; more ink gives a later letter."""
    image = ImageInput(32, 32)
    centres = 8.0 * np.arange(26)  # the class with the nearest mean level
    levels = np.zeros((26, 32, 32), np.uint8)
    for letter in range(26):
        levels[letter, :, :] = 8 * letter
    levels[0, 0, 0] = 200
    metadata = _metadata("letters", tuple(string.ascii_uppercase), image, (DigitStep(24, 32),))
    _write(path, metadata, levels, 0.02 * centres[np.newaxis], -0.01 * centres**2, axes=(1, 2))


def write_filters(path: Path) -> None:
    """Write a model of colour photographs like `write_photographs`, with the operators of a convolutional network."""
    image = ImageInput(32, 32, 3, "as-photographed")
    metadata = _metadata("filters", COLOURS, image, (ResizeStep(32, 32, "cover"), CenterCropStep(32, 32)))
    levels = np.zeros((3, 32, 32, 3), np.uint8)
    for colour in range(3):
        levels[colour, :, :, colour] = 200
    values = {
        "filters": (np.eye(3)[:, :, np.newaxis, np.newaxis] * np.full((4, 4), 1 / 16)).astype(np.float32),
        "levels": np.full(3, 5, np.float32),
        "weights": (0.05 * np.eye(3)).astype(np.float32),
        "bias": np.zeros(3, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "filters", "levels"], ["filtered"], strides=[4, 4]),
        helper.make_node("Relu", ["filtered"], ["positive"]),
        helper.make_node("MaxPool", ["positive"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["pooled"], ["means"]),
        helper.make_node("Flatten", ["means"], ["vectors"]),
        helper.make_node("Gemm", ["vectors", "weights", "bias"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    _write_graph(path, metadata, levels, nodes, values)


def write_half(path: Path, source: Path) -> None:
    """Write the fp16 form of a float model file, with the same reference images and the tolerance of fp16."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = convert_float_to_float16(load_from_string(source.read_bytes()), keep_io_types=True)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    metadata = Metadata.from_json(properties[METADATA_KEY])
    name = f"{metadata.name.removesuffix('-fp32')}-fp16"
    golden = GoldenValues.unpack(properties[GOLDEN_KEY])
    helper.set_model_props(
        model,
        {
            METADATA_KEY: replace(metadata, name=name, precision="fp16").to_json(),
            GOLDEN_KEY: GoldenValues(golden.images, golden.probabilities, GOLDEN_TOLERANCE["fp16"]).pack(),
        },
    )
    path.write_bytes(with_digest(model.SerializeToString(deterministic=True)))


def _metadata(
    name: str,
    labels: tuple[str, ...],
    image: ImageInput,
    steps: tuple[PreprocessingStep, ...],
    output: OutputKind = "softmax",
) -> Metadata:
    return Metadata(
        name=f"{name}-fp32",
        version="1",
        architecture="means",
        precision="fp32",
        labels=labels,
        parameters=12,
        input=image,
        preprocessing=steps,
        output=output,
    )


def _write(
    path: Path,
    metadata: Metadata,
    images: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    *,
    axes: Sequence[int],
) -> None:
    """Write a model: the means of the pixels over some axes, a dense layer, and softmax or sigmoids."""
    end = {"softmax": helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1)}
    end["sigmoid"] = helper.make_node("Sigmoid", ["scores"], ["probabilities"])
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["means"], keepdims=0),
        helper.make_node("Reshape", ["means", "rows"], ["vectors"]),
        helper.make_node("Gemm", ["vectors", "weights", "bias"], ["scores"]),
        end[metadata.output],
    ]
    values = {"axes": np.array(axes, np.int64), "rows": np.array([-1, len(weights)], np.int64)}
    values |= {"weights": weights.astype(np.float32), "bias": bias.astype(np.float32)}
    _write_graph(path, metadata, images, nodes, values)


def _write_graph(
    path: Path, metadata: Metadata, images: np.ndarray, nodes: list[NodeProto], values: dict[str, np.ndarray]
) -> None:
    """Write a model file of nodes from `image` to `probabilities`, with the predictions for some images."""
    graph = helper.make_graph(
        nodes,
        metadata.architecture,
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", *metadata.input.shape])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(metadata.labels)])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    golden = GoldenValues(images, _outputs(model, images), tolerance=1e-4)
    helper.set_model_props(model, {METADATA_KEY: metadata.to_json(), GOLDEN_KEY: golden.pack()})
    path.write_bytes(with_digest(model.SerializeToString(deterministic=True)))


def _outputs(model: ModelProto, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images})[0]
