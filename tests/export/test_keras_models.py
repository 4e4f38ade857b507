"""Keras models of many kinds are exported in every precision, or refused in one line that names the layer."""

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="exporting needs the extras [train] and [export]")

from digits_edge.export import calibrated_outputs
from digits_edge.runtime.checks.verify import verify
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.model.model_file import PRECISIONS
from tests.export.conftest import shared_conversions
from tests.export.keras_models import KINDS, outcome, source_of

#: Kinds of the quick tests: a single sigmoid, channels first, a mean per channel.
QUICK = ("one sigmoid", "channels first, 3×32×32", "mean and std per channel")
#: Kind and precision → the message, which names the layer and a remedy.
REFUSED = {("Conv2DTranspose", "int8"): r"24% of the multiplications are int8: convtranspose_\d+ stayed float.*fp16"}


@pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)
def test_model_is_exported_in_every_precision_or_refused(kind: str, tmp_path: Path) -> None:
    source, data = source_of(kind)
    images = data.images[::20]
    with shared_conversions():
        for precision in PRECISIONS:
            path = tmp_path / f"{precision}.onnx"
            result = outcome(source, data, precision, path)
            if (kind, precision) in REFUSED:
                assert re.search(REFUSED[kind, precision], result.message) and "\n" not in result.message
                assert not path.exists()
                continue
            assert not result.message, f"{precision}: {result.message}"
            assert precision != "int8" or result.int8_share >= 0.5
            with Classifier(path, provider="cpu") as classifier:
                assert classifier.metadata.output == ("sigmoid" if kind == "ten sigmoids" else "softmax")
                expected = calibrated_outputs(source, images, classifier.metadata.temperature)
                tolerance = {"fp32": 1e-5, "fp16": 1e-2, "int8": 0.2}[precision]
                np.testing.assert_allclose(classifier.predict_batch(images), expected, atol=tolerance)
                if precision == "int8":
                    check = verify(classifier)
                    assert check.holds, check.problems
