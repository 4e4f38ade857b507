"""Lookup of models by name, and the size of their calls."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette", reason="needs the extra [serve]")

from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.service import served_models
from digits_edge.runtime.service.metrics import Metrics
from digits_edge.runtime.service.served_models import ServedModels


@pytest.mark.parametrize("fastest", ["edge-int8", "edge-fp32"])
def test_name_without_precision_selects_the_fastest_precision(fastest: str):
    served = ServedModels(["edge-int8", "edge-fp32"], provider="cpu", threads=1, metrics=Metrics())
    served._models = {
        name: replace(model, latency_us=1 if name == fastest else 2) for name, model in served._models.items()
    }
    assert served.find("edge").name == fastest
    assert served.find("edge-fp32").name == "edge-fp32"
    assert served.find(None).name == "edge-int8"


def test_large_images_are_predicted_in_small_calls(photograph_model: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(served_models, "MAX_VALUES", 2 * 32 * 32 * 3)
    served = ServedModels([photograph_model], provider="cpu", threads=1, metrics=Metrics())
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    sizes, predict_batch = [], Classifier.predict_batch

    def counted(classifier: Classifier, images: np.ndarray, **options: object):
        sizes.append(len(images))
        return predict_batch(classifier, images, **options)

    monkeypatch.setattr(Classifier, "predict_batch", counted)

    async def predict():
        served.start()
        found = await served.find("photographs").batcher.predict(images)
        await served.stop()
        return found

    found = asyncio.run(predict())
    assert sizes == [2, 2, 1]
    with Classifier(photograph_model, provider="cpu") as classifier:
        np.testing.assert_array_equal(found, classifier.predict_batch(images))


@pytest.mark.parametrize(("threads", "provider", "most"), [(1, "cpu", 10_000), (2, "cpu", 15), (1, "cuda", 0)])
def test_batches_that_wait_for_other_calls_do_not_run_in_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, threads: int, provider: str, most: int
):
    opened = Classifier("edge-int8", provider="cpu", threads=threads)
    opened.provider = provider
    monkeypatch.setattr(served_models, "Classifier", lambda *_, **__: opened)
    [model] = ServedModels(["edge-int8"], metrics=Metrics())
    assert (model.batcher.inline > 0) == (most > 0)
    assert model.batcher.inline <= most
