"""Lookup of models by name."""

from dataclasses import replace

import pytest

pytest.importorskip("starlette", reason="needs the extra [serve]")

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
