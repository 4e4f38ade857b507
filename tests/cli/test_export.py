"""Export of Keras models whose input differs from the images of `--data`."""

import numpy as np
import pytest

pytest.importorskip("tf2onnx", reason="needs the extras [train] and [export]")

from digits_edge.runtime import Classifier
from digits_edge.runtime.datasets import load
from digits_edge.runtime.datasets.fitting import fitted
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.steps import CenterCropStep, DigitStep, PadStep, ResizeStep


@pytest.mark.parametrize(
    ("image", "fit", "steps"),
    [
        (ImageInput(28, 28, 3), "resize", (DigitStep(),)),
        (ImageInput(20, 20, 3), "resize", (DigitStep(), ResizeStep(20, 20))),
        (ImageInput(32, 32), "pad", (DigitStep(), PadStep(32, 32), CenterCropStep(32, 32))),
    ],
    ids=str,
)
def test_polarity_and_steps_of_the_data_are_kept(run, drawn, tmp_path, image, fit, steps):
    import keras

    data = fitted(load(drawn), image, fit)
    inputs = data.images.reshape(len(data), -1) / 255.0
    targets = 8.0 * np.eye(10)[data.labels]
    # the dual form of ridge regression has one equation per image, not one per pixel
    kernel = inputs.T @ np.linalg.solve(inputs @ inputs.T + 0.25 * np.eye(len(data)), targets)
    model = keras.Sequential([keras.Input((*image.shape[:2], image.channels)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(10))
    model.set_weights([kernel, np.zeros(10)])
    model.save(tmp_path / "m.keras")
    arguments = ["--data", drawn, "--input-scale", "1", "--precision", "fp32", "--fit", fit, "-o", "m.onnx"]
    assert run("export", "m.keras", *arguments).code == 0
    with Classifier(tmp_path / "m.onnx", provider="cpu") as classifier:
        assert classifier.metadata.input == image
        assert classifier.metadata.preprocessing == steps
