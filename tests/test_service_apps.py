"""`benchmarks.service_apps`: each service that the benchmark compares gives the predictions of the model."""

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the services need the extra serve")
from starlette.testclient import TestClient

from benchmarks import service_apps
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.session.precision import find_model

MODEL = "edge-fp32"


@pytest.fixture(scope="module")
def images():
    """Reference images of the model, uint8 (4, 28, 28)."""
    with Classifier(MODEL, provider="cpu", threads=1) as classifier:
        return classifier.golden.images[:4]


@pytest.fixture(scope="module")
def expected(images):
    with Classifier(MODEL, provider="cpu", threads=1) as classifier:
        return classifier.predict_batch(images)


@pytest.fixture
def fastapi_client(monkeypatch):
    """A function that starts a FastAPI service."""
    pytest.importorskip("fastapi", reason="the comparison needs FastAPI, of the extra dev")
    monkeypatch.setenv("MODEL", str(find_model(MODEL, "cpu")))
    return lambda create: TestClient(create())


def test_the_floor_returns_as_many_bytes_as_a_prediction(images, expected):
    response = TestClient(service_apps.floor()).post("/predict", content=images[:1].tobytes())
    assert response.status_code == 200
    assert len(response.content) == expected[:1].nbytes


def test_fastapi_with_json_predicts_like_the_model(fastapi_client, images, expected):
    response = fastapi_client(service_apps.fastapi_json).post("/predict", json={"images": images.tolist()})
    assert response.status_code == 200
    np.testing.assert_allclose(response.json()["probabilities"], expected, atol=1e-5)


def test_fastapi_with_bytes_predicts_like_the_model(fastapi_client, images, expected):
    response = fastapi_client(service_apps.fastapi_bytes).post("/predict", content=images.tobytes())
    assert response.status_code == 200
    np.testing.assert_allclose(response.json()["probabilities"], expected, atol=1e-5)
