"""Valid inputs for each target, from which the fuzzer starts."""

import gzip
import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from digits_edge.runtime.model.bundled import MODELS, bundled_classifiers
from digits_edge.runtime.preprocessing.pictures import FORMATS


def seeds(target: str) -> Iterator[bytes]:
    """Yield the seeds of one target."""
    yield from _SEEDS[target]()


def _digit(side: int) -> np.ndarray:
    """Return a one, white on black: uint8 (side, side)."""
    image = np.zeros((side, side), np.uint8)
    image[side // 5 : -side // 5, side // 2 : side // 2 + 3] = 255
    return image


def _pictures() -> Iterator[bytes]:
    grey = Image.fromarray(_digit(28))
    for name in FORMATS:
        for mode in ("L", "RGB", "1", "P", "RGBA", "LA", "I;16", "CMYK"):
            stream = io.BytesIO()
            try:
                grey.convert(mode).save(stream, name)
            except (OSError, ValueError):  # the format does not have this mode
                continue
            yield stream.getvalue()


def _pixels() -> Iterator[bytes]:
    for kind in range(2):
        for chosen in range(16):
            yield bytes([kind, chosen, 28, 28, 3 + kind]) + _digit(28).tobytes()


def _table() -> Iterator[bytes]:
    header = ",".join(f"pixel{index}" for index in range(784))
    row = ",".join(map(str, _digit(28).ravel()))
    yield f"label,{header}\n1,{row}\n7,{row}\n".encode()
    yield f"{header}\r\n{row}\r\n\r\n".encode()
    yield f"{header}\n{row},1\n{row}\nx{row[1:]}\n".encode()
    yield gzip.compress(f"{header}\n{row}\n".encode())
    yield f"sep=;\nImageId;{header}\n1;{row}\n".replace(",", ";").encode()
    yield f"{row}\r{row}\r".replace(",", "\t").encode("utf-16")
    yield f'"1.0",{row}\n'.encode()


def _parquet() -> Iterator[bytes]:
    import pyarrow as arrow
    import pyarrow.parquet

    for column in ([_digit(28).ravel().tolist()] * 2, [_digit(28).tobytes()] * 2):
        stream = io.BytesIO()
        arrow.parquet.write_table(arrow.table({"label": [1, 7], "image": column}), stream)
        yield stream.getvalue()


def _idx() -> Iterator[bytes]:
    yield bytes((0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28)) + _digit(28).tobytes()
    yield bytes((0, 0, 8, 1, 0, 0, 0, 3, 7, 1, 4))
    yield gzip.compress(bytes((0, 0, 8, 1, 0, 0, 0, 3, 7, 1, 4)))


def _npz() -> Iterator[bytes]:
    images = _digit(28)[np.newaxis]
    for arrays in ({"images": images, "labels": np.array([1])}, {"x_train": images, "y_train": np.array([1])}):
        for save in (np.savez, np.savez_compressed):
            stream = io.BytesIO()
            save(stream, **arrays)
            yield stream.getvalue()
    parts = [io.BytesIO(), io.BytesIO()]
    for stream, array in zip(parts, (images, np.array([1])), strict=True):
        np.save(stream, array)
    yield b"".join(stream.getvalue() for stream in parts).removeprefix(b"\x93NUMPY")


def _model_text() -> Iterator[bytes]:
    from digits_edge.runtime.classifier import Classifier

    for entry in bundled_classifiers():
        with Classifier(entry.name, provider="cpu") as classifier:
            yield classifier.metadata.to_json().encode()
    yield classifier._packed_golden.encode()


def _model() -> Iterator[bytes]:
    """Yield a model of five nodes, small enough that mutations reach every part."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from digits_edge.runtime.model.golden import GoldenValues
    from digits_edge.runtime.model.model_file import GOLDEN_KEY, METADATA_KEY, Metadata

    images = _digit(28)[np.newaxis]
    metadata = Metadata("seed-fp32", "1", "seed", "fp32", ("0", "1"), parameters=1568)
    golden = GoldenValues(images, np.array([[0.5, 0.5]], np.float32), 1e-3)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["float"], ["flat"]),
            helper.make_node("ReduceMean", ["flat"], ["mean"], keepdims=1, axes=[1]),
            helper.make_node("Gemm", ["mean", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"]),
        ],
        "seed",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 28, 28])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(np.zeros((1, 2), np.float32), "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    helper.set_model_props(model, {METADATA_KEY: metadata.to_json(), GOLDEN_KEY: golden.pack()})
    yield model.SerializeToString()


def small_keras_file() -> bytes:
    """Return the content of a `.keras` file with one dense layer."""
    import tempfile

    import keras

    inputs = keras.Input((28, 28, 1))
    small = keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(keras.layers.MaxPooling2D(9)(inputs))))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        small.save(path)
        return path.read_bytes()


def _keras() -> Iterator[bytes]:
    content = small_keras_file()
    yield content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        yield archive.read("config.json")
    lambda_layer = {"class_name": "Lambda", "module": "keras.layers", "registered_name": None}
    code = {"class_name": "__lambda__", "config": {"code": "4wAAAAAAAAA=", "defaults": None, "closure": None}}
    yield json.dumps({**lambda_layer, "config": {"name": "lambda", "function": code}}).encode()


def _recipe() -> Iterator[bytes]:
    from digits_edge.train.training.recipe import named_recipe, recipe_to_json

    for name in ("perceptron", "edge"):
        recipe = recipe_to_json(named_recipe("best", name))
        about = {"name": "mnist", "sha256": "00", "classes": list("0123456789"), "input_scale": 1}
        yield json.dumps({"recipe": recipe, "data": about, "versions": {"keras": "3.15.0"}}).encode()


def _keras_model() -> Iterator[bytes]:
    for policy in range(6):
        yield bytes((policy, policy, policy % 2, policy % 2, 0, 5, 9))


def _index() -> Iterator[bytes]:
    yield (MODELS / "index.json").read_bytes()


def _trial() -> Iterator[bytes]:
    timings = [
        {"provider": name, "model": "edge-int8", "open_s": 0.1, "one_s": 0.001, "each_s": 0.0001 * place}
        for place, name in enumerate(("cpu", "openvino"), start=1)
    ]
    yield json.dumps({"key": "key", "timings": timings, "failed": {}, "made_at": time.time()}).encode()


def _cut_run() -> Iterator[bytes]:
    state = {"made_of": {"model": "m"}, "done": 2, "counts": {"ok": 2}, "bytes": 11, "error_bytes": 0}
    yield json.dumps(state).encode()


def _checkpoint() -> Iterator[bytes]:
    state = {"progress": {"history": [{"loss": 0.5}], "seconds": 3.0, "stopped": False}, "callbacks": [{"updates": 3}]}
    yield json.dumps(state).encode()


def _command_line() -> Iterator[bytes]:
    for line in (
        "predict seven.png --top 3 --json",
        "predict seven.png --model edge --provider cpu --threads 1",
        "batch-predict test.csv -o out.csv --batch-size 8 --overwrite --resume --on-error skip",
        "models --json",
        "--help",
    ):
        yield line.replace(" ", "\0").encode()


_SEEDS = {
    "picture": _pictures,
    "pixels": _pixels,
    "table": _table,
    "parquet": _parquet,
    "idx": _idx,
    "npz": _npz,
    "model-text": _model_text,
    "model": _model,
    "keras-file": _keras,
    "keras-model": _keras_model,
    "recipe": _recipe,
    "index": _index,
    "trial": _trial,
    "cut-run": _cut_run,
    "checkpoint": _checkpoint,
    "command-line": _command_line,
}
