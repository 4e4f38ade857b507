"""Fuzzing targets: one function of bytes for each kind of input, which may raise documented errors only.

A target catches the documented errors. Any other error is a fault, and the fuzzer stores the input. Targets import
`digits_edge` themselves, because the fuzzer instruments these imports to see which branches an input reaches.
"""

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

#: Folder of this process for the files under test, in memory if possible.
_FOLDER = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))

_LIGHT_COMMANDS = {"predict", "batch-predict", "models"}


@dataclass(frozen=True)
class Target:
    """A fuzzing target.

    Attributes:
        run: function of the input bytes.
        largest: maximum size of an input, in bytes.
        inputs: number of inputs in a complete run.
    """

    run: Callable[[bytes], None]
    largest: int
    inputs: int


def _file(name: str, content: bytes) -> Path:
    path = _FOLDER / name
    path.write_bytes(content)
    return path


def picture(content: bytes) -> None:
    """Open a picture file and convert it with each preprocessing step."""
    from digits_edge.runtime.errors import ImageError
    from digits_edge.runtime.preprocessing.pictures import open_picture

    try:
        opened = open_picture(content)
    except ImageError:
        return
    if opened.width * opened.height <= 512 * 512:  # larger pictures take time and reach no other branch
        _check_steps(opened)


def pixels(content: bytes) -> None:
    """Convert a Pillow image of any mode, or an array of any dtype and shape, with each preprocessing step."""
    from PIL import Image

    from digits_edge.runtime.errors import ImageError
    from digits_edge.runtime.preprocessing.pictures import open_picture

    if len(content) < 8:
        return
    modes = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "F")
    types = ("u1", "?", "f2", "f4", "f8", "i4", "u2", "i1")
    kind, chosen, height, width, channels, *_ = content
    height, width = height % 80, width % 80
    data = content[5:]
    try:
        if kind % 2:
            mode = modes[chosen % len(modes)]
            size = len(Image.new(mode, (width, height)).tobytes())
            picture = open_picture(Image.frombytes(mode, (width, height), (data * (size // len(data) + 1))[:size]))
        else:
            dtype = np.dtype(types[chosen % len(types)])
            shape = (height, width, channels % 6)[: 2 + channels % 2]
            size = int(np.prod(shape)) * dtype.itemsize
            array = np.frombuffer((data * (size // len(data) + 1))[:size], dtype)
            picture = open_picture(array.reshape(shape))
    except ImageError:
        return
    _check_steps(picture)


def _check_steps(picture: "Image.Image") -> None:
    """Convert a picture with each preprocessing step."""
    from digits_edge.runtime.model.image_input import ImageInput
    from digits_edge.runtime.model.steps import CenterCropStep, DigitStep, ObjectStep, PadStep, ResizeStep
    from digits_edge.runtime.preprocessing.steps import apply_steps

    photograph = ImageInput(32, 24, 3, "as-photographed")
    for steps, image in (
        ((DigitStep(),), ImageInput()),
        ((ObjectStep(20, 24), PadStep(32, 24)), photograph),
        ((ResizeStep(32, 24, "cover"), CenterCropStep(32, 24)), photograph),
        ((ResizeStep(32, 24, "contain"), PadStep(32, 24, 128)), ImageInput(32, 24)),
    ):
        found = apply_steps(picture, steps, image).image
        assert found.dtype == np.uint8, found.dtype
        assert found.shape == image.shape, found.shape


def table(content: bytes) -> None:
    """Read a Kaggle CSV, plain or gzip: strictly, with bad rows skipped, and from a later row on."""
    from digits_edge.runtime.datasets import read_blocks
    from digits_edge.runtime.errors import DataError

    path = _file("table.csv", content)
    try:
        strict = sum(len(block.rows) for block in read_blocks(path, rows_per_block=3))
    except DataError:
        strict = -1
    try:
        blocks = list(read_blocks(path, rows_per_block=3, skip_bad_rows=True))
    except DataError:
        return
    good, bad = sum(len(block.rows) for block in blocks), sum(len(block.bad) for block in blocks)
    assert strict in (-1, good), (strict, good)
    assert (strict == -1) == (bad > 0), (strict, bad)
    rest = read_blocks(path, first_row=2, skip_bad_rows=True)
    numbers = [row for block in blocks for row in block.rows if row >= 2]
    assert [row for block in rest for row in block.rows] == numbers


def parquet(content: bytes) -> None:
    """Read a Parquet table."""
    from digits_edge.runtime.datasets.tables.parquet import read_parquet_blocks
    from digits_edge.runtime.errors import DataError

    with suppress(DataError):
        for _ in read_parquet_blocks(_file("table.parquet", content)):
            pass


def idx(content: bytes) -> None:
    """Read an idx file of images or labels, plain or gzip."""
    from digits_edge.runtime.datasets.idx import read_images, read_labels
    from digits_edge.runtime.errors import DataError

    path = _file("idx", content)
    for read in (read_images, read_labels):
        with suppress(DataError):
            read(path)


def npz(content: bytes) -> None:
    """Read the bytes as an npz archive, and as the arrays in a valid archive."""
    from digits_edge.runtime.datasets.npz import read_npz
    from digits_edge.runtime.errors import DataError

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        images, _, labels = content.partition(b"\x93NUMPY")
        archive.writestr("images.npy", b"\x93NUMPY" + images)
        archive.writestr("labels.npy", b"\x93NUMPY" + labels)
    for archived in (content, packed.getvalue()):
        with suppress(DataError):
            read_npz(_file("set.npz", archived), "train")


def model_text(content: bytes) -> None:
    """Read the metadata and the golden values of a model file."""
    from digits_edge.runtime.errors import ModelError
    from digits_edge.runtime.model.golden import GoldenValues
    from digits_edge.runtime.model.model_file import Metadata

    text = content.decode(errors="replace")
    with suppress(ModelError):
        assert Metadata.from_json(Metadata.from_json(text).to_json()) == Metadata.from_json(text)
    with suppress(ModelError):
        GoldenValues.unpack(text)


def model(content: bytes) -> None:
    """Open the bytes as a model file, and again with a correct digest, so that onnxruntime parses them."""
    from digits_edge.runtime.classifier import Classifier
    from digits_edge.runtime.errors import DigitsEdgeError
    from digits_edge.runtime.model.model_file import with_digest

    for file in (content, with_digest(content)):
        path = _file("model.onnx", file)
        with suppress(DigitsEdgeError), Classifier(path, provider="cpu", threads=1) as classifier:
            assert classifier.golden is not None
            classifier.predict_batch(np.zeros((2, *classifier.metadata.input.shape), np.uint8))


def keras_file(content: bytes) -> None:
    """Open the bytes as a `.keras` file, and as the configuration in a valid `.keras` file."""
    from digits_edge.export.source import read_source
    from digits_edge.runtime.errors import ModelError, UsageError

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("config.json", content)
        archive.writestr("metadata.json", '{"keras_version": "3.15.0"}')
        archive.writestr("model.weights.h5", _small_weights())
    for file in (content, packed.getvalue()):
        with suppress(ModelError, UsageError):
            read_source(_file("model.keras", file))


def keras_model(content: bytes) -> None:
    """Read the Keras model that the bytes describe, with any dtype policy, and run it on two images."""
    from digits_edge.export.source import read_source
    from digits_edge.runtime.errors import ModelError, UsageError
    from digits_edge.runtime.model.pixel_range import PixelRange
    from fuzz.keras_models import keras_file

    file = keras_file(content)
    if file is None:
        return
    with suppress(ModelError, UsageError):
        source = read_source(_file("model.keras", file), pixel_range=PixelRange(1))
        outputs = source.outputs(np.zeros((2, 28, 28), np.uint8))
        assert outputs.shape == (2, 10), outputs.shape
        assert outputs.dtype == np.float32, outputs.dtype


@cache
def _small_weights() -> bytes:
    """Return the weights file of the seed model."""
    from fuzz.seeds import small_keras_file

    with zipfile.ZipFile(io.BytesIO(small_keras_file())) as archive:
        return archive.read("model.weights.h5")


def recipe(content: bytes) -> None:
    """Read the recipe.json of a run folder."""
    from digits_edge.export.source import _read_run
    from digits_edge.runtime.errors import InputError, ModelError
    from digits_edge.train.training.recipe import read_recipe, recipe_data, recipe_to_json

    path = _file("recipe.json", content)
    with suppress(InputError):
        json.dumps(recipe_to_json(read_recipe(path)))
        recipe_data(path)
    with suppress(ModelError):
        _read_run(path)


def index(content: bytes) -> None:
    """Read the index of the bundled models."""
    from digits_edge.runtime.errors import ModelError
    from digits_edge.runtime.model.bundled import bundled_models, is_intact, is_model_name
    from digits_edge.runtime.session.precision import find_model

    _file("index.json", content)
    with suppress(ModelError):
        for entry in bundled_models(_FOLDER):
            is_intact(entry, _FOLDER)
        is_model_name("edge", _FOLDER)
        find_model(None, "cpu", folder=_FOLDER)


def trial(content: bytes) -> None:
    """Read a stored speed trial of `--provider auto`."""
    from digits_edge.runtime.session.precision import Way
    from digits_edge.runtime.session.trial import _path, stored_trial

    folder = _FOLDER / "trials"
    folder.mkdir(exist_ok=True)
    _path(folder, "key").write_bytes(content)
    ways = [Way(Path("edge-int8.onnx"), provider) for provider in ("cpu", "openvino")]
    stored = stored_trial(folder, "key", ways)
    assert stored is None or stored.fastest().provider in ("cpu", "openvino")


def cut_run(content: bytes) -> None:
    """Resume a `batch-predict` whose state file has these bytes."""
    from digits_edge.runtime.batch.output import batch_output
    from digits_edge.runtime.errors import DigitsEdgeError

    target = _file("out.csv", b"")
    target.unlink()
    (_FOLDER / "out.csv.partial").write_bytes(b"header\n1\n2\n")
    _file("out.csv.partial.json", content)
    try:
        with batch_output(target, b"header\n", b"errors\n", overwrite=False, resume={"model": "m"}) as output:
            output.write(b"3\n", b"", output.done + 1, {"ok": output.counts.get("ok", 0) + 1})
    except DigitsEdgeError:
        return
    assert target.read_bytes().startswith(b"header\n")


def checkpoint(content: bytes) -> None:
    """Read the checkpoint of an interrupted training."""
    from digits_edge.runtime.errors import InputError
    from digits_edge.train.training.checkpoint import read_state

    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, state=np.array(content.decode(errors="replace")))
    for file in (content, packed.getvalue()):
        with suppress(InputError):
            read_state(_file("checkpoint.npz", file))


def command_line(content: bytes) -> None:
    """Run a light command with these arguments, separated by NUL; no input file exists."""
    from digits_edge.cli.main import COMMANDS, run

    words = [word.decode(errors="surrogateescape") for word in content.split(b"\0")]
    if any("/" in word or word in COMMANDS.keys() - _LIGHT_COMMANDS for word in words):
        return  # stay in the folder, and do not start trainings
    os.chdir(_FOLDER)
    stdout, stderr = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace") for _ in range(2))
    with redirect_stdout(stdout), redirect_stderr(stderr):
        code = run(words)
    stderr.flush()
    message = stderr.buffer.getvalue()  # type: ignore[attr-defined]
    assert code in range(5), code
    assert b"Traceback" not in message and b"this is a bug" not in message, message
    assert b"\x1b" not in message, message


#: By name; slow targets have fewer inputs.
TARGETS = {
    "picture": Target(picture, 8192, 250_000),
    "pixels": Target(pixels, 2048, 60_000),
    "table": Target(table, 16384, 40_000),
    "parquet": Target(parquet, 8192, 40_000),
    "idx": Target(idx, 4096, 150_000),
    "npz": Target(npz, 4096, 100_000),
    "model-text": Target(model_text, 4096, 150_000),
    "model": Target(model, 8192, 50_000),
    "keras-file": Target(keras_file, 8192, 5_000),
    "keras-model": Target(keras_model, 8, 500),
    "recipe": Target(recipe, 4096, 60_000),
    "index": Target(index, 4096, 80_000),
    "trial": Target(trial, 2048, 80_000),
    "cut-run": Target(cut_run, 1024, 40_000),
    "checkpoint": Target(checkpoint, 4096, 20_000),
    "command-line": Target(command_line, 512, 20_000),
}
