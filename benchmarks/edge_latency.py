"""Latency of `edge`'s int8 networks compared with a float network of the ONNX model zoo's MNIST structure.

    python -m benchmarks.edge_latency                  # all variants of the study `edge`
    python -m benchmarks.edge_latency edge-int8        # bundled models or model files

Batches of 1 and 256 on one thread, timed round-robin. The ratio is that of the medians, below 1 if the network is
faster than the float network. Variants have untrained weights, because speed does not depend on them. Prints a JSON
line for each network.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
from keras import layers

from digits_edge.measure.round_robin import medians_us
from digits_edge.runtime.classifier import Classifier
from digits_edge.train import build
from digits_edge.train.search.studies import study

from .noise import batch_calls, images
from .untrained import write_model_file

#: Batch size → rounds.
ROUNDS = {1: 3000, 256: 40}
WARM_UP = 20
ZOO = "float network of the zoo's structure"


def zoo_network() -> Any:
    """Convolution 5×5×8, ReLU, pool 2, convolution 5×5×16, ReLU, pool 3, dense 10: 5,998 parameters."""
    image = keras.Input((28, 28, 1))
    x = layers.MaxPooling2D(2)(layers.Conv2D(8, 5, padding="same", activation="relu")(image))
    x = layers.MaxPooling2D(3)(layers.Conv2D(16, 5, padding="same", activation="relu")(x))
    return keras.Model(image, layers.Dense(10)(layers.Flatten()(x)), name="zoo")


def classifiers(models: Sequence[str], folder: Path) -> dict[str, Classifier]:
    """Open the zoo's network and the given models, or the variants of the study if no model is given."""
    files: dict[str, str | Path] = {ZOO: write_model_file(zoo_network(), "fp32", folder / "zoo.onnx")}
    if models:
        files |= {model: model for model in models}
    else:
        for number, variant in enumerate(study("edge").variants):
            network = build("edge", **variant.recipe.structure)
            files[variant.label] = write_model_file(network, "int8", folder / f"{number}.onnx")
    return {name: Classifier(file, provider="cpu", threads=1) for name, file in files.items()}


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.edge_latency", description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help="bundled names or model files  [default: the study's variants]")
    models = parser.parse_args().models
    with tempfile.TemporaryDirectory() as folder:
        opened = classifiers(models, Path(folder))
        times_us = {
            batch_size: medians_us(batch_calls(opened, images(batch_size)), rounds=rounds, warm_up=WARM_UP)
            for batch_size, rounds in ROUNDS.items()
        }
    for name, classifier in opened.items():
        row: dict[str, object] = {"model": name, "precision": classifier.metadata.precision}
        for batch_size, medians in times_us.items():
            row[f"batch_{batch_size}_us"] = round(medians[name] / batch_size, 2)
            row[f"batch_{batch_size}_ratio"] = round(medians[name] / medians[ZOO], 3)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
