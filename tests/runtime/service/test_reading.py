"""`POST /read`, and the Open Inference Protocol for a model that reads numbers."""

import io

import numpy as np
import pytest
from PIL import Image

from digits_edge.runtime import Reader
from tests.drawn_numbers import Written, number_page, plain

PNG = {"content-type": "image/png"}


@pytest.fixture
def service(create_service, sequence_model):
    return create_service("edge-int8", str(sequence_model))


@pytest.fixture(scope="module")
def page() -> bytes:
    lines = [Written("7901", 100, 100, 60, even=True), Written("64520", 140, 330, 60, even=True)]
    stream = io.BytesIO()
    number_page(plain(), lines).save(stream, "PNG")
    return stream.getvalue()


def test_numbers_are_those_of_the_reader(service, page, sequence_model):
    response = service.post("/read", content=page, headers=PNG)
    assert response.status_code == 200
    found = response.json()
    assert (found["model"], found["status"], found["width"], found["height"]) == ("templates-fp32", "ok", 800, 600)
    with Reader(sequence_model, provider="cpu") as reader:
        assert found["lines"] == reader.read(page).to_json()["lines"]
    assert [line["text"] for line in found["lines"]] == ["7901", "64520"]


def test_constraints_and_regions(service, page):
    only = service.post("/read", content=page, headers=PNG, params={"region": "10%,40%,90%,80%", "length": 5}).json()
    assert [line["text"] for line in only["lines"]] == ["64520"]
    two = service.post("/read?region=100,280,700,450&region=60,60,700,200", content=page, headers=PNG).json()
    assert [line["text"] for line in two["lines"]] == ["64520", "7901"]
    blank = io.BytesIO()
    Image.new("L", (200, 150), 240).save(blank, "PNG")
    assert service.post("/read", content=blank.getvalue(), headers=PNG).json()["status"] == "blank"


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("length=many", 400, "invalid length='many'"),
        ("length=0", 400, "length 0: use 1 to 64 digits"),
        ("pattern=AB", 400, "pattern 'AB'"),
        ("check=lunh", 400, "Did you mean 'luhn'"),
        ("region=1,2,3", 400, "region '1,2,3'"),
        ("region=0,0,9000,10", 400, "is not in the picture of 800×600 pixels"),
        ("&".join(["region=0,0,10,10"] * 65), 400, "65 regions in one request"),
        ("model=none", 404, "unknown model 'none'; models that read numbers: templates-fp32"),
    ],
)
def test_errors_name_the_parameter(service, page, query, status, message):
    response = service.post(f"/read?{query}", content=page, headers=PNG)
    assert response.status_code == status
    assert message in response.json()["error"]


def test_other_errors_are_those_of_predict(service, page):
    assert service.post("/read", content=b"no picture", headers=PNG).status_code == 400
    assert service.post("/read", content=page, headers={"content-type": "text/html"}).status_code == 415
    assert (
        "reads numbers; use POST /read"
        in service.post("/predict?model=templates-fp32", content=page, headers=PNG).json()["error"]
    )


def test_a_service_without_a_reader_says_how_to_start_one(create_service, page):
    response = create_service("edge-int8").post("/read", content=page, headers=PNG)
    assert response.status_code == 404
    assert "start it with --model number" in response.json()["error"]


def test_a_service_with_a_reader_only(create_service, sequence_model, page):
    service = create_service(str(sequence_model))
    assert service.post("/read", content=page, headers=PNG).json()["status"] == "ok"
    assert "use POST /read" in service.post("/predict", content=page, headers=PNG).json()["error"]


def test_models_lists_readers_apart(service):
    listing = service.get("/models").json()
    assert [model["name"] for model in listing["models"]] == ["edge-int8"]
    [reader] = listing["readers"]
    assert (reader["name"], reader["characters"]) == ("templates-fp32", "0123456789")


@pytest.mark.parametrize("name", ["templates-fp32", "templates"])
def test_the_protocol_computes_columns(service, sequence_model, name):
    description = service.get(f"/v2/models/{name}").json()
    assert description["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 32, -1]}]
    assert description["outputs"] == [{"name": "columns", "datatype": "FP32", "shape": [-1, -1, 11]}]
    images = np.random.default_rng(0).integers(0, 255, (2, 32, 48)).astype(np.uint8)
    tensor = {"name": "image", "datatype": "UINT8", "shape": [2, 32, 48], "data": images.ravel().tolist()}
    response = service.post(f"/v2/models/{name}/infer", json={"inputs": [tensor], "outputs": [{"name": "columns"}]})
    assert response.status_code == 200, response.text
    [output] = response.json()["outputs"]
    with Reader(sequence_model, provider="cpu") as reader:
        expected = reader.model.batch(images)
    assert output["name"] == "columns" and output["shape"] == list(expected.shape)
    assert np.allclose(np.reshape(output["data"], output["shape"]), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "outputs", "status", "message"),
    [
        ([1, 28, 28], None, 400, "inputs.0.shape: [1, 28, 28], expected [N, 32, W]"),
        ([1, 32, 5000], None, 400, "expected [N, 32, W], W from 1 to 1,024"),
        ([1, 32, 16], [{"name": "probabilities"}], 400, "outputs.0.name: 'probabilities', expected 'columns'"),
    ],
)
def test_errors_of_the_protocol(service, shape, outputs, status, message):
    tensor = {"name": "image", "datatype": "UINT8", "shape": shape, "data": [200] * int(np.prod(shape))}
    request = {"inputs": [tensor]} | ({"outputs": outputs} if outputs else {})
    response = service.post("/v2/models/templates-fp32/infer", json=request)
    assert response.status_code == status
    assert message in response.json()["error"]


def test_the_description_has_the_endpoint(service):
    description = service.get("/openapi.json").json()
    assert "/read" in description["paths"] and "NumbersReading" in description["components"]["schemas"]
