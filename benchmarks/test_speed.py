"""Speed of every way to run a model, by batch size: `pytest -n 0 benchmarks/`, about two minutes on an idle machine.

Everything runs on one thread. A group is a model and a batch size; the number in brackets after a time is its ratio to
the fastest of the group. Other work on the machine affects the times, so compare only within a group.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from pytest_benchmark.fixture import BenchmarkFixture

from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.model.model_file import INPUT_NAME, OUTPUT_NAME, read_model_file
from digits_edge.runtime.session.providers import open_session

from .noise import images
from .untrained import keras_inputs, keras_model, write_model_file

#: Batch size → rounds, enough for a stable median.
ROUNDS = {1: 100, 32: 30, 256: 8, 1024: 3}
WAYS = (
    "Classifier fp32",
    "Classifier int8",
    "session.run fp32",
    "session.run int8",
    "keras called",
    "keras predict",
)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Limit TensorFlow to one thread, which is possible only before its first computation."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


@pytest.fixture(scope="session", params=["cnn-small", "cnn", "resnet"])
def architecture(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def model(architecture: str, one_thread: None) -> Any:
    return keras_model(architecture)


@pytest.fixture(scope="session")
def files(model: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Precision → model file."""
    folder = tmp_path_factory.mktemp(model.name)
    return {
        precision: write_model_file(model, precision, folder / f"{precision}.onnx") for precision in ("fp32", "int8")
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("batch_size", ROUNDS)
def test_speed(
    benchmark: BenchmarkFixture, architecture: str, model: Any, files: dict[str, Path], batch_size: int, way: str
) -> None:
    benchmark.group = f"{architecture}, batch {batch_size:4}, one thread"  # padded for sorting
    benchmark.name = way
    predict = caller(way, model, files, images(batch_size))
    outputs = benchmark.pedantic(predict, rounds=ROUNDS[batch_size], warmup_rounds=1)
    benchmark.extra_info["images_per_second"] = batch_size / benchmark.stats.stats.median
    assert np.shape(outputs) == (batch_size, 10)


def caller(way: str, model: keras.Model, files: dict[str, Path], pixels: Any) -> Callable[[], Any]:
    """Return the timed call; work that a program does only once is done before."""
    library, kind = way.split()
    if library == "keras":
        inputs = keras_inputs(pixels)
        if kind == "predict":
            return lambda: model.predict(inputs, batch_size=len(inputs), verbose=0)
        return lambda: np.asarray(model(inputs, training=False))
    if library == "Classifier":
        classifier = Classifier(files[kind], provider="cpu", threads=1)
        return lambda: classifier.predict_batch(pixels)
    session = open_session(read_model_file(files[kind]), "cpu", 1).session
    return lambda: session.run([OUTPUT_NAME], {INPUT_NAME: pixels})[0]
