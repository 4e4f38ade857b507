"""A sequence model that is built without training: it compares each place of a line with one drawing of each digit.

It reads the even digits of `tests.drawn_numbers`, so tests can check what happens around a network.
"""

from pathlib import Path

import numpy as np
import onnxruntime
from onnx import ModelProto, TensorProto, helper, numpy_helper
from PIL import Image

from digits_edge.runtime.model.golden import GoldenValues
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.model_file import GOLDEN_KEY, METADATA_KEY, Metadata, with_digest
from digits_edge.runtime.model.steps import LineStep
from digits_edge.runtime.reader.line_image import INK_HEIGHT, LINE_HEIGHT

from .drawn_numbers import plain_digit

LABELS = tuple("0123456789")
COLUMN_PX = 2
_TEMPLATE_WIDTH = 20


def template_weights() -> tuple[np.ndarray, np.ndarray]:
    """Weights (K + 1, 32, 20) for pixels from 0 to 1, and biases (K + 1,), of the classes; the blank is last.

    Ink on the strokes of a digit counts for it, and ink beside them against it; the blank needs 60 % of a match.
    """
    templates = np.stack([_template(label) for label in LABELS])
    for_ink = templates - 0.6 * (1 - templates)
    scale = 30 / (for_ink * templates).sum((1, 2), keepdims=True)
    weights = np.concatenate([scale * for_ink, np.zeros_like(templates[:1])])
    return weights, np.append(np.zeros(len(templates)), 0.6 * 30)


def write_sequence_model(path: Path) -> None:
    """Write the model."""
    metadata = Metadata(
        name="templates-fp32",
        version="1",
        architecture="templates",
        precision="fp32",
        labels=LABELS,
        parameters=len(LABELS) * LINE_HEIGHT * _TEMPLATE_WIDTH,
        input=ImageInput(LINE_HEIGHT, None),
        preprocessing=(LineStep(),),
        output="columns",
        column_px=COLUMN_PX,
        uncertain_below=0.5,
    )
    weights, bias = template_weights()
    model = _graph(weights[:, np.newaxis] / 255, bias)
    golden_image = np.zeros((1, LINE_HEIGHT, 64), np.uint8)
    golden_image[0, :, 20 : 20 + _TEMPLATE_WIDTH] = _template("7") * 255
    golden = GoldenValues(golden_image, _outputs(model, golden_image).reshape(1, -1), tolerance=1e-4)
    helper.set_model_props(model, {METADATA_KEY: metadata.to_json(), GOLDEN_KEY: golden.pack()})
    path.write_bytes(with_digest(model.SerializeToString(deterministic=True)))


def _template(label: str) -> np.ndarray:
    """The drawing of a character in a line image, float (32, 20) in 0…1."""
    template = np.zeros((LINE_HEIGHT, _TEMPLATE_WIDTH))
    ink = Image.fromarray((plain_digit(int(label), 300) * 255).astype(np.uint8))
    ink = ink.resize((max(1, round(ink.width * INK_HEIGHT / ink.height)), INK_HEIGHT), Image.Resampling.BOX)
    pixels = np.asarray(ink, float)[:, :_TEMPLATE_WIDTH] / 255
    left, upper = (_TEMPLATE_WIDTH - pixels.shape[1]) // 2, (LINE_HEIGHT - INK_HEIGHT) // 2
    template[upper : upper + INK_HEIGHT, left : left + pixels.shape[1]] = pixels
    return (np.roll(template, -1, 1) + 2 * template + np.roll(template, 1, 1)) / 4


def _graph(weights: np.ndarray, bias: np.ndarray) -> ModelProto:
    side = (_TEMPLATE_WIDTH - COLUMN_PX) // 2
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["pixels", "channel"], ["line"]),
        helper.make_node(
            "Conv", ["line", "weights", "bias"], ["scores"], strides=[1, COLUMN_PX], pads=[0, side, 0, side]
        ),
        helper.make_node("Squeeze", ["scores", "row"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["logits"], perm=[0, 2, 1]),
        helper.make_node("Softmax", ["logits"], ["columns"], axis=2),
    ]
    values = {"channel": np.array([1], np.int64), "row": np.array([2], np.int64)}
    values |= {"weights": weights.astype(np.float32), "bias": bias.astype(np.float32)}
    graph = helper.make_graph(
        nodes,
        "templates",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", LINE_HEIGHT, "W"])],
        [helper.make_tensor_value_info("columns", TensorProto.FLOAT, ["N", "T", len(LABELS) + 1])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _outputs(model: ModelProto, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images})[0]
