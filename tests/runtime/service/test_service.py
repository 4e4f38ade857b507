"""What the service answers: to pictures, to images, to what is wrong."""

import asyncio
import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.testclient import TestClient
from starlette.types import Message

from digits_edge.runtime.checks.occlusion import occlusion_maps
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets.synthetic_digits import draw_digit, draw_image
from digits_edge.runtime.errors import ModelError, UsageError
from digits_edge.runtime.service.admission import Admission
from digits_edge.runtime.service.batching import MicroBatcher
from digits_edge.runtime.service.limits import Limits
from fuzz.corpus import inputs

from .conftest import Served

SAMPLES = Path(__file__).parents[3] / "samples"
PNG = {"content-type": "image/png"}
HEAD = "Inference-Header-Content-Length"


def png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def digits(count: int = 10) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([draw_image(number % 10, rng) for number in range(count)])


def infer(images: np.ndarray, **more: Any) -> dict[str, Any]:
    return {
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": list(images.shape), "data": images.tolist()}],
        **more,
    }


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier("edge-int8", provider="cpu", threads=1)


def test_a_picture_is_read_as_by_the_classifier(served: Served, classifier: Classifier) -> None:
    client = served()
    for path in sorted(SAMPLES.glob("*.*g")):
        answer = client.post("/predict", content=path.read_bytes(), headers=PNG, params={"show": "image,map"}).json()
        expected, seen = classifier.predict(path), classifier.prepare(path)
        assert answer["digit"] == expected.digit == int(path.name[0])
        assert answer["probabilities"] == pytest.approx(expected.probabilities, abs=1e-6)
        assert (answer["status"], answer["box"]) == (expected.status, list(seen.box or ()))
        assert base64.b64decode(answer["image"]) == seen.image.tobytes()
        maps = occlusion_maps(classifier.predict_batch, seen.image[np.newaxis])
        assert answer["map"] == pytest.approx(maps[0, answer["digit"]].ravel(), abs=1e-4)


def test_only_what_is_asked_for_is_shown(served: Served) -> None:
    answer = served().post("/predict", content=(SAMPLES / "3-on-black.png").read_bytes(), headers=PNG).json()
    assert answer["image"] is None and answer["map"] is None


def test_a_blank_picture_is_blank(served: Served) -> None:
    answer = served().post("/predict?show=map,image", content=png(Image.new("L", (50, 50), "white"))).json()
    assert (answer["status"], answer["digit"], answer["label"], answer["box"]) == ("blank", None, None, None)
    assert answer["map"] is None and set(base64.b64decode(answer["image"])) == {0}


def test_models_are_chosen_by_name_with_or_without_precision(served: Served) -> None:
    client = served("edge-int8", "fashion-int8")
    listed = client.get("/models").json()["models"]
    assert [(model["name"], model["default"]) for model in listed] == [("edge-int8", True), ("fashion-int8", False)]
    assert all(model["latency_us"] > 0 and model["bytes"] > 10_000 for model in listed)
    picture = png(draw_digit(4, np.random.default_rng(0)))
    for name in ("fashion", "fashion-int8"):
        assert "Sandal" in client.post("/predict", content=picture, params={"model": name}).json()["labels"]
    refused = client.post("/predict", content=picture, params={"model": "nothing"})
    assert refused.status_code == 404 and "edge-int8, fashion-int8" in refused.json()["error"]


def test_a_model_is_served_once_under_its_name(served: Served) -> None:
    with pytest.raises(UsageError, match="second model"):
        served("edge-int8", "edge-int8")


def test_what_the_service_and_its_models_are_is_told(served: Served) -> None:
    client = served()
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/models/edge/ready").json() == {"name": "edge-int8", "ready": True}
    assert client.get("/v2/models/edge/versions/1").json()["versions"] == ["1"]
    assert client.get("/v2/models/edge/versions/2").status_code == 404


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("flat_images", [False, True])
def test_images_are_read_as_by_the_classifier(
    served: Served, classifier: Classifier, nested: bool, flat_images: bool
) -> None:
    images = digits().reshape(10, 784) if flat_images else digits()
    request = infer(images, id="seven")
    if not nested:
        request["inputs"][0]["data"] = images.ravel().tolist()
    answer = served().post("/v2/models/edge-int8/infer", json=request).json()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("seven", "edge-int8", "1")
    (output,) = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("probabilities", "FP32", [10, 10])
    np.testing.assert_array_equal(np.float32(output["data"]), classifier.predict_batch(digits()).ravel())


@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("wish", ["outputs", "parameters", "both"])
def test_tensors_may_be_binary(served: Served, classifier: Classifier, binary_in: bool, wish: str) -> None:
    images = digits()
    request = infer(images)
    if wish != "outputs":
        request["parameters"] = {"binary_data_output": wish == "parameters"}
    if wish != "parameters":
        request["outputs"] = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    body, headers = json.dumps(request).encode(), {}
    if binary_in:
        request["inputs"][0] |= {"parameters": {"binary_data_size": images.size}, "data": None}
        head = json.dumps(request).encode()
        body, headers = head + images.tobytes(), {HEAD: str(len(head))}
    answer = served().post("/v2/models/edge/versions/1/infer", content=body, headers=headers)
    length = int(answer.headers[HEAD])
    described = json.loads(answer.content[:length])["outputs"][0]
    found = np.frombuffer(answer.content[length:], "<f4")
    assert described["parameters"]["binary_data_size"] == len(answer.content) - length
    np.testing.assert_array_equal(found.reshape(described["shape"]), classifier.predict_batch(images))


def test_no_images_have_no_answers(served: Served) -> None:
    answer = served().post("/v2/models/edge/infer", json=infer(np.zeros((0, 28, 28), np.uint8)))
    assert answer.json()["outputs"][0]["shape"] == [0, 10]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "picture"}, "inputs.0.name"),
        ({"datatype": "FP32"}, "inputs.0.datatype"),
        ({"shape": [1, 28, 27]}, "[N, 28, 28]"),
        ({"shape": [2, 28, 28]}, "784 pixels"),
        ({"shape": [-1, 28, 28]}, "shape"),
        ({"data": [256] * 784}, "data"),
        ({"data": [0.5] * 784}, "data"),
        ({"data": [True] * 784}, "data"),
        ({"data": [[0] * 700, [0] * 84]}, "different lengths"),
        ({"data": None}, "either data or"),
        ({"parameters": {"binary_data_size": 784}}, "either data or"),
        ({"data": None, "parameters": {"binary_data_size": 784}}, "0 bytes follow"),
    ],
)
def test_wrong_images_are_refused_with_the_reason(served: Served, change: dict[str, Any], says: str) -> None:
    request = infer(digits(1))
    request["inputs"][0] |= change
    answer = served().post("/v2/models/edge/infer", json=request)
    assert answer.status_code == 400 and says in answer.json()["error"], answer.text


@pytest.mark.parametrize("length", ["-1", "x", "100000", "1" * 5000])
def test_a_wrong_length_of_the_json_is_refused(served: Served, length: str) -> None:
    answer = served().post("/v2/models/edge/infer", content=b"{}", headers={HEAD: length})
    assert answer.status_code == 400 and HEAD in answer.json()["error"]


def test_a_wish_without_a_word_about_binary_is_the_requests_wish(served: Served) -> None:
    request = infer(digits(1), parameters={"binary_data_output": True})
    request["outputs"] = [{"name": "probabilities", "parameters": {}}]
    assert HEAD in served().post("/v2/models/edge/infer", json=request).headers


def test_json_and_images_of_a_request_are_bounded(served: Served) -> None:
    client = served(json_bytes=10_000, images=5)
    assert client.post("/v2/models/edge/infer", json=infer(digits(2))).status_code == 200
    long = client.post("/v2/models/edge/infer", json=infer(digits(10)))
    assert long.status_code == 413 and "binary tensors" in long.json()["error"]
    images = digits(6)
    request = infer(images)
    request["inputs"][0] |= {"parameters": {"binary_data_size": images.size}, "data": None}
    head = json.dumps(request).encode()
    many = client.post("/v2/models/edge/infer", content=head + images.tobytes(), headers={HEAD: str(len(head))})
    assert many.status_code == 413 and "5 at most" in many.json()["error"]


def test_a_page_of_another_site_may_not_ask(served: Served) -> None:
    client, picture = served(), (SAMPLES / "3-on-black.png").read_bytes()
    for site, status in (("cross-site", 403), ("same-origin", 200), ("none", 200)):
        assert client.post("/predict", content=picture, headers={"sec-fetch-site": site}).status_code == status


def test_bytes_that_no_input_claims_are_refused(served: Served) -> None:
    head = json.dumps(infer(digits(1))).encode()
    answer = served().post("/v2/models/edge/infer", content=head + b"more", headers={HEAD: str(len(head))})
    assert answer.status_code == 400 and "4 bytes" in answer.json()["error"]


@pytest.fixture(scope="module")
def client() -> TestClient:
    from digits_edge.runtime.service.app import create_app
    from digits_edge.runtime.service.metrics import Metrics
    from digits_edge.runtime.service.served_models import ServedModels

    metrics = Metrics()
    with TestClient(create_app(ServedModels(["edge"], provider="cpu", metrics=metrics), metrics)) as client:
        yield client


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["inputs", "name", "data", "shape", "parameters", "id"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(_JSON)
def test_no_json_is_a_fault_of_the_service(client: TestClient, value: Any) -> None:
    body = json.dumps(value)
    assert client.post("/v2/models/edge/infer", content=body).status_code == 400
    request = infer(digits(1)) | (value if isinstance(value, dict) else {"outputs": value})
    assert client.post("/v2/models/edge/infer", content=json.dumps(request)).status_code in (200, 400)


@given(st.binary(max_size=200), st.text("0123456789-", max_size=4))
def test_no_bytes_are_a_fault_of_the_service(client: TestClient, body: bytes, length: str) -> None:
    assert client.post("/v2/models/edge/infer", content=body, headers={HEAD: length}).status_code == 400
    assert client.post("/predict", content=body).status_code == 400


def test_the_pictures_of_the_fuzzing_are_answered_or_refused(client: TestClient) -> None:
    statuses = {client.post("/predict", content=picture).status_code for picture in inputs("picture")}
    assert statuses == {200, 400}


def test_a_picture_of_another_kind_is_refused(served: Served) -> None:
    answer = served().post("/predict", files={"file": b"x"})
    assert answer.status_code == 415 and "--data-binary" in answer.json()["error"]


def test_what_to_show_is_checked(served: Served) -> None:
    answer = served().post("/predict?show=all", content=b"")
    assert answer.status_code == 400 and "'all'" in answer.json()["error"]


def test_a_body_is_bounded(served: Served) -> None:
    client = served(body_bytes=1000)
    assert client.post("/predict", content=b"x" * 1001).status_code == 413

    def endless() -> Any:
        for _ in range(20):
            yield b"x" * 100

    assert client.post("/predict", content=endless()).status_code == 413


def test_a_picture_is_bounded(served: Served) -> None:
    answer = served(picture_pixels=1000).post("/predict", content=png(Image.new("L", (40, 40))))
    assert answer.status_code == 400 and "more than 1,000" in answer.json()["error"]


def test_a_small_file_of_a_large_picture_is_refused_before_it_is_unpacked(served: Served) -> None:
    picture = bytearray(png(Image.new("1", (20_000, 20_000))))
    assert len(picture) < 100_000 and zlib.crc32(picture)
    answer = served().post("/predict", content=bytes(picture))
    assert answer.status_code == 400 and "reduce it first" in answer.json()["error"]


def test_a_compressed_body_is_no_json(served: Served) -> None:
    answer = served().post(
        "/v2/models/edge/infer", content=zlib.compress(b"{}"), headers={"content-encoding": "deflate"}
    )
    assert answer.status_code == 415


def test_a_key_guards_all_but_the_pages_and_the_health(served: Served) -> None:
    client = served(key="sesame")
    for path in ("/", "/page/page.js", "/docs", "/docs/swagger_bundle.js", "/openapi.json", "/v2/health/live"):
        assert client.get(path).status_code == 200, path
    for path in ("/models", "/metrics", "/v2", "/v2/models/edge"):
        refused = client.get(path)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer"), path
        assert client.get(path, headers={"authorization": "Bearer sesam"}).status_code == 401
        assert client.get(path, headers={"authorization": "Bearer sesame"}).status_code == 200
    assert client.post("/predict", content=b"").status_code == 401


def test_another_sites_name_is_refused(served: Served) -> None:
    client = served(hosts=("127.0.0.1", "localhost"))
    assert client.get("/", headers={"host": "localhost:8000"}).status_code == 200
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400


def test_browsers_are_told_to_do_nothing_more_than_the_page_needs(served: Served) -> None:
    client = served()
    for answer in (client.get("/"), client.get("/models"), client.get("/none"), client.post("/predict", content=b"x")):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers
    asked = client.options(
        "/predict", headers={"origin": "https://evil.example", "access-control-request-method": "POST"}
    )
    assert asked.status_code == 405 and not any(name.startswith("access-control") for name in asked.headers)
    assert client.get("/models").headers["cache-control"] == "no-store"


def test_requests_are_counted(served: Served) -> None:
    client = served()
    client.post("/v2/models/edge/infer", json=infer(digits(3)))
    client.post("/predict", content=b"x")
    client.get("/wp-login.php")
    shown = client.get("/metrics").text
    assert 'requests_total{method="POST",route="/v2/models/{model}/infer",status="200"} 1.0' in shown
    assert 'requests_total{method="POST",route="/predict",status="400"} 1.0' in shown
    assert 'requests_total{method="GET",route="(none)",status="404"} 1.0' in shown
    assert 'digits_edge_batch_images_sum{model="edge-int8"} 3.0' in shown
    assert "wp-login" not in shown


class Application:
    """Reads a request, and answers when it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def test_more_than_is_admitted_is_told_to_come_again() -> None:
    async def inside() -> None:
        application, shed = Application(), []
        guarded = Admission(application, Limits(requests=2, bytes=1000, body_bytes=500), shed=lambda: shed.append(1))
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(guarded), base_url="http://here") as client:
            waiting = [asyncio.create_task(client.post("/", content=b"x" * 100)) for _ in range(2)]
            await asyncio.sleep(0.05)
            busy = await client.post("/", content=b"x")
            assert (busy.status_code, busy.headers["retry-after"], len(shed)) == (429, "1", 1)
            application.go.set()
            assert [(await answer).status_code for answer in waiting] == [200, 200]
            assert (await client.post("/", content=b"x")).status_code == 200
            assert guarded.requests == 0

    asyncio.run(inside())


def test_the_bytes_in_flight_are_bounded() -> None:
    async def inside() -> None:
        application = Application()
        guarded = Admission(ExceptionMiddleware(application), Limits(bytes=1000))
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(guarded), base_url="http://here") as client:
            waiting = asyncio.create_task(client.post("/", content=b"x" * 500))
            await asyncio.sleep(0.05)
            busy = await client.post("/", content=b"x" * 501)
            assert (busy.status_code, busy.headers["retry-after"]) == (429, "1")
            application.go.set()
            assert (await waiting).status_code == 200
            assert (await client.post("/", content=b"x" * 501)).status_code == 200

    asyncio.run(inside())


@pytest.mark.parametrize(("arrives", "status"), [(False, 408), (True, 503)])
def test_what_takes_too_long_is_ended(arrives: bool, status: int) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        if not arrives:
            await asyncio.sleep(10)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    guarded = Admission(Application(), Limits(body_s=0.05, answer_s=0.05))
    asyncio.run(guarded({"type": "http", "method": "POST", "headers": []}, receive, send))
    assert sent[0]["status"] == status


@pytest.mark.parametrize("error", [ModelError("the GPU is lost"), RuntimeError("a bug")])
def test_a_fault_of_the_service_is_no_fault_of_the_request(
    served: Served, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def broken(self: MicroBatcher, images: object) -> None:
        raise error

    monkeypatch.setattr(MicroBatcher, "predict", broken)
    client = served()
    answer = client.post("/v2/models/edge/infer", json=infer(digits(1)))
    assert answer.status_code == 500 and answer.json()["error"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert 'status="500"} 1.0' in client.get("/metrics").text
    assert client.get("/v2/health/live").status_code == 200
