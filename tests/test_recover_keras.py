"""Keras models that are recovered from model files."""

from pathlib import Path

import keras
import numpy as np
import pytest

from digits_edge.runtime import Classifier
from digits_edge.runtime.datasets.synthetic_digits import draw_image
from digits_edge.runtime.model.bundled import MODELS
from digits_edge.train.training.recipe import read_recipe
from scripts import recover_keras


def recovered(name: str, folder: Path) -> None:
    recover_keras.main([str(MODELS / f"{name}.onnx"), "-o", str(folder)])


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("edge-fp32", [""]),
        ("edge-int8", [""]),
        ("edge-ensemble-int8", [f"member-{n}" for n in range(1, 7)]),
    ],
)
def test_recovered_networks_predict_what_the_file_predicts(name: str, runs: list[str], tmp_path: Path):
    recovered(name, tmp_path)
    rng = np.random.default_rng(0)
    images = np.stack([draw_image(number % 10, rng) for number in range(64)])
    classifier = Classifier(name, provider="cpu", threads=1)
    members = classifier.metadata.members or (classifier.metadata,)
    probabilities = np.zeros((64, 10))
    for run, member in zip(runs, members, strict=True):
        model = keras.saving.load_model(tmp_path / run / "model.keras", compile=False)
        logits = model.predict_on_batch(images[..., None] / np.float32(255)) / member.temperature
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities += powers / powers.sum(axis=1, keepdims=True) / len(runs)
        assert read_recipe(tmp_path / run / "recipe.json").model == "edge"
    expected = classifier.predict_batch(images)
    largest = 1e-5 if name.endswith("fp32") else 0.02
    assert np.abs(probabilities - expected).max() < largest
    assert (probabilities.argmax(axis=1) == expected.argmax(axis=1))[expected.max(axis=1) > 0.6].all()
