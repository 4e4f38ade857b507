"""Responses of the service to pictures, images and invalid requests."""

import asyncio
import base64
import io
import json
import socket
import zlib
from collections.abc import Iterator
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
from starlette.types import Message, Receive, Scope, Send

from digits_edge.runtime.checks.occlusion import occlusion_maps
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets.synthetic_digits import draw_digit, draw_image
from digits_edge.runtime.errors import ModelError, UsageError
from digits_edge.runtime.service.admission import Admission
from digits_edge.runtime.service.batching import MicroBatcher
from digits_edge.runtime.service.host_names import accepted_names
from digits_edge.runtime.service.inference_protocol import json_before_binary
from digits_edge.runtime.service.limits import Limits
from fuzz.corpus import inputs
from tests.runtime.preprocessing.drawn_pictures import number

from .conftest import ServiceFactory, service_factory

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


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    return Classifier("edge-int8", provider="cpu", threads=1)


def test_predictions_for_pictures_equal_those_of_the_classifier(client: TestClient, classifier: Classifier) -> None:
    for path in sorted(SAMPLES.glob("*.*g")):
        response = client.post("/predict", content=path.read_bytes(), headers=PNG, params={"show": "image,map"}).json()
        expected, prepared = classifier.predict(path), classifier.prepare(path)
        assert response["digit"] == expected.digit == int(path.name[0])
        assert response["probabilities"] == pytest.approx(expected.probabilities, abs=1e-6)
        assert (response["status"], response["box"]) == (expected.status, list(prepared.box or ()))
        assert base64.b64decode(response["image"]) == prepared.image.tobytes()
        maps = occlusion_maps(classifier.predict_batch, prepared.image[np.newaxis])
        assert response["map"] == pytest.approx(maps[0, response["digit"]].ravel(), abs=1e-4)


def test_image_and_map_are_omitted_by_default(client: TestClient) -> None:
    response = client.post("/predict", content=(SAMPLES / "3-on-black.png").read_bytes(), headers=PNG).json()
    assert response["image"] is None and response["map"] is None


def test_blank_picture_has_status_blank(client: TestClient) -> None:
    response = client.post("/predict?show=map,image", content=png(Image.new("L", (50, 50), "white"))).json()
    assert (response["status"], response["digit"], response["label"], response["box"]) == ("blank", None, None, None)
    assert response["map"] is None and set(base64.b64decode(response["image"])) == {0}


def test_number_has_status_several_and_boxes(client: TestClient) -> None:
    response = client.post("/predict", content=png(Image.fromarray(number("4071")))).json()
    assert (response["status"], response["digit"], len(response["boxes"])) == ("several", None, 4)


def test_models_are_selected_by_name_with_or_without_precision(create_service: ServiceFactory) -> None:
    client = create_service("edge-int8", "fashion-int8")
    listed = client.get("/models").json()["models"]
    assert [(model["name"], model["default"]) for model in listed] == [("edge-int8", True), ("fashion-int8", False)]
    assert all(model["latency_us"] > 0 and model["bytes"] > 10_000 for model in listed)
    picture = png(draw_digit(4, np.random.default_rng(0)))
    for name in ("fashion", "fashion-int8"):
        assert "Sandal" in client.post("/predict", content=picture, params={"model": name}).json()["labels"]
    refused = client.post("/predict", content=picture, params={"model": "nothing"})
    assert refused.status_code == 404 and "edge-int8, fashion-int8" in refused.json()["error"]


def test_two_models_with_the_same_name_are_a_usage_error(create_service: ServiceFactory) -> None:
    with pytest.raises(UsageError, match="second model"):
        create_service("edge-int8", "edge-int8")


def test_service_and_models_are_described(client: TestClient) -> None:
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/models/edge/ready").json() == {"name": "edge-int8", "ready": True}
    assert client.get("/v2/models/edge/versions/1").json()["versions"] == ["1"]
    assert client.get("/v2/models/edge/versions/2").status_code == 404


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("flat_images", [False, True])
def test_predictions_for_images_equal_those_of_the_classifier(
    client: TestClient, classifier: Classifier, nested: bool, flat_images: bool
) -> None:
    images = digits().reshape(10, 784) if flat_images else digits()
    request = infer(images, id="seven")
    if not nested:
        request["inputs"][0]["data"] = images.ravel().tolist()
    response = client.post("/v2/models/edge-int8/infer", json=request).json()
    assert (response["id"], response["model_name"], response["model_version"]) == ("seven", "edge-int8", "1")
    (output,) = response["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("probabilities", "FP32", [10, 10])
    np.testing.assert_array_equal(np.float32(output["data"]), classifier.predict_batch(digits()).ravel())


@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("requested_by", ["outputs", "parameters", "both"])
def test_tensors_may_be_binary(client: TestClient, classifier: Classifier, binary_in: bool, requested_by: str) -> None:
    images = digits()
    request = infer(images)
    if requested_by != "outputs":
        request["parameters"] = {"binary_data_output": requested_by == "parameters"}
    if requested_by != "parameters":
        request["outputs"] = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    body, headers = json.dumps(request).encode(), {}
    if binary_in:
        request["inputs"][0] |= {"parameters": {"binary_data_size": images.size}, "data": None}
        head = json.dumps(request).encode()
        body, headers = head + images.tobytes(), {HEAD: str(len(head))}
    response = client.post("/v2/models/edge/versions/1/infer", content=body, headers=headers)
    length = int(response.headers[HEAD])
    output = json.loads(response.content[:length])["outputs"][0]
    probabilities = np.frombuffer(response.content[length:], "<f4")
    assert output["parameters"]["binary_data_size"] == len(response.content) - length
    np.testing.assert_array_equal(probabilities.reshape(output["shape"]), classifier.predict_batch(images))


def test_images_scaled_to_0_to_1_are_refused(client: TestClient) -> None:
    scaled = (digits(3) > 127).astype(np.uint8)
    response = client.post("/v2/models/edge/infer", json=infer(scaled))
    assert response.status_code == 400
    assert "no pixel is above 1" in response.text and "multiply them by 255" in response.text
    for allowed in (scaled[:1], np.zeros((3, 28, 28), np.uint8)):
        assert client.post("/v2/models/edge/infer", json=infer(allowed)).status_code == 200


def test_empty_batch_has_empty_predictions(client: TestClient) -> None:
    response = client.post("/v2/models/edge/infer", json=infer(np.zeros((0, 28, 28), np.uint8)))
    assert response.json()["outputs"][0]["shape"] == [0, 10]


@pytest.mark.parametrize(
    ("change", "reason"),
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
def test_invalid_images_are_rejected_with_the_reason(client: TestClient, change: dict[str, Any], reason: str) -> None:
    request = infer(digits(1))
    request["inputs"][0] |= change
    response = client.post("/v2/models/edge/infer", json=request)
    assert response.status_code == 400 and reason in response.json()["error"], response.text


@pytest.mark.parametrize("length", ["-1", "x", "100000", "1" * 5000])
def test_invalid_json_length_is_rejected(client: TestClient, length: str) -> None:
    response = client.post("/v2/models/edge/infer", content=b"{}", headers={HEAD: length})
    assert response.status_code == 400 and HEAD in response.json()["error"]


def test_output_without_binary_data_uses_the_parameter_of_the_request(client: TestClient) -> None:
    request = infer(digits(1), parameters={"binary_data_output": True})
    request["outputs"] = [{"name": "probabilities", "parameters": {}}]
    assert HEAD in client.post("/v2/models/edge/infer", json=request).headers


def test_requests_with_the_same_json_get_the_results_of_their_own_pixels(client: TestClient) -> None:
    images = digits(6)
    with Classifier("edge-int8", provider="cpu", threads=1) as classifier:
        expected = classifier.predict_batch(images, pixel_range=255)
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 28, 28], "parameters": {"binary_data_size": 784}}
    for name in ("a", "a", "b"):  # the JSON of the second request is remembered
        request = {"id": name, "inputs": [tensor], "parameters": {"binary_data_output": True}}
        head = json.dumps(request).encode()
        for image, wanted in zip(images, expected, strict=True):
            response = client.post(
                "/v2/models/edge/infer", content=head + image.tobytes(), headers={HEAD: str(len(head))}
            )
            end = int(response.headers[HEAD])
            assert json.loads(response.content[:end])["id"] == name
            np.testing.assert_allclose(np.frombuffer(response.content[end:], "<f4"), wanted, atol=1e-6)


def test_long_identifiers_are_not_remembered(client: TestClient) -> None:
    def post(name: str) -> int:
        request = infer(digits(1), id=name, parameters={"binary_data_output": True})
        assert client.post("/v2/models/edge/infer", json=request).status_code == 200
        return json_before_binary.cache_info().currsize

    before = post("short")
    assert post("x" * 10_000) == before
    assert post("another") == before + 1


@pytest.mark.parametrize(("length", "status"), [("0000000000000005", 400), ("9" * 30, 413)])
def test_announced_lengths_of_bodies(length: str, status: int) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"short", "more_body": False}

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 400})

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-length", length.encode())]
    asyncio.run(Admission(respond, Limits())({"type": "http", "method": "POST", "headers": headers}, receive, send))
    assert sent[0]["status"] == status


def test_empty_length_of_the_json_is_rejected(client: TestClient) -> None:
    response = client.post("/v2/models/edge/infer", json=infer(digits(1)), headers={HEAD: ""})
    assert response.status_code == 400 and HEAD in response.json()["error"]


def test_json_size_and_number_of_images_are_limited(create_service: ServiceFactory) -> None:
    client = create_service(json_bytes=10_000, images=5)
    assert client.post("/v2/models/edge/infer", json=infer(digits(2))).status_code == 200
    long = client.post("/v2/models/edge/infer", json=infer(digits(10)))
    assert long.status_code == 413 and "binary tensors" in long.json()["error"]
    images = digits(6)
    request = infer(images)
    request["inputs"][0] |= {"parameters": {"binary_data_size": images.size}, "data": None}
    head = json.dumps(request).encode()
    many = client.post("/v2/models/edge/infer", content=head + images.tobytes(), headers={HEAD: str(len(head))})
    assert many.status_code == 413 and "at most 5" in many.json()["error"]


def test_cross_site_requests_are_rejected(client: TestClient) -> None:
    picture = (SAMPLES / "3-on-black.png").read_bytes()
    for site, status in (("cross-site", 403), ("same-origin", 200), ("none", 200)):
        assert client.post("/predict", content=picture, headers={"sec-fetch-site": site}).status_code == status


def test_unexpected_binary_data_is_rejected(client: TestClient) -> None:
    head = json.dumps(infer(digits(1))).encode()
    response = client.post("/v2/models/edge/infer", content=head + b"more", headers={HEAD: str(len(head))})
    assert response.status_code == 400 and "4 bytes" in response.json()["error"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["inputs", "name", "data", "shape", "parameters", "id"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(_JSON)
def test_random_json_never_causes_a_server_error(client: TestClient, value: Any) -> None:
    body = json.dumps(value)
    assert client.post("/v2/models/edge/infer", content=body).status_code == 400
    request = infer(digits(1)) | (value if isinstance(value, dict) else {"outputs": value})
    assert client.post("/v2/models/edge/infer", content=json.dumps(request)).status_code in (200, 400)


@given(st.binary(max_size=200), st.text("0123456789-", max_size=4))
def test_random_bytes_never_cause_a_server_error(client: TestClient, body: bytes, length: str) -> None:
    assert client.post("/v2/models/edge/infer", content=body, headers={HEAD: length}).status_code == 400
    assert client.post("/predict", content=body).status_code == 400


def test_fuzzing_corpus_never_causes_a_server_error(client: TestClient) -> None:
    statuses = {client.post("/predict", content=picture).status_code for picture in inputs("picture")}
    assert statuses == {200, 400}


def test_form_data_is_rejected(client: TestClient) -> None:
    response = client.post("/predict", files={"file": b"x"})
    assert response.status_code == 415 and "--data-binary" in response.json()["error"]


def test_data_url_of_a_canvas_gets_the_remedy(client: TestClient) -> None:
    url = b"data:image/png;base64,iVBORw0KGgo="
    response = client.post("/predict", content=url, headers={"content-type": "image/png"})
    assert (response.status_code, "is a data URL; decode the picture" in response.json()["error"]) == (400, True)


def test_invalid_show_is_rejected(client: TestClient) -> None:
    response = client.post("/predict?show=all", content=b"")
    assert response.status_code == 400 and "'all'" in response.json()["error"]


def test_body_size_is_limited(create_service: ServiceFactory) -> None:
    client = create_service(body_bytes=1000)
    announced = client.post("/predict", content=b"x" * 1001)
    assert announced.status_code == 413 and "at most 1,000 bytes" in announced.json()["error"]

    def endless() -> Any:
        for _ in range(20):
            yield b"x" * 100

    received = client.post("/predict", content=endless())
    assert (received.status_code, received.json()) == (413, announced.json())
    assert client.get("/v2/health/live").status_code == 200


def test_picture_size_is_limited(create_service: ServiceFactory) -> None:
    response = create_service(picture_pixels=1000).post("/predict", content=png(Image.new("L", (40, 40))))
    assert response.status_code == 400 and "more than 1,000" in response.json()["error"]


def test_decompression_bomb_is_rejected_before_decoding(client: TestClient) -> None:
    picture = bytearray(png(Image.new("1", (20_000, 20_000))))
    assert len(picture) < 100_000 and zlib.crc32(picture)
    response = client.post("/predict", content=bytes(picture))
    assert response.status_code == 400 and "reduce it first" in response.json()["error"]


def test_compressed_body_is_rejected(client: TestClient) -> None:
    response = client.post(
        "/v2/models/edge/infer", content=zlib.compress(b"{}"), headers={"content-encoding": "deflate"}
    )
    assert response.status_code == 415


def test_key_is_required_except_for_pages_and_health(create_service: ServiceFactory) -> None:
    client = create_service(key="sesame")
    for path in ("/", "/page/page.js", "/docs", "/docs/swagger_bundle.js", "/openapi.json", "/v2/health/live"):
        assert client.get(path).status_code == 200, path
    for path in ("/models", "/metrics", "/v2", "/v2/models/edge"):
        refused = client.get(path)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer"), path
        assert client.get(path, headers={"authorization": "Bearer sesam"}).status_code == 401
        assert client.get(path, headers={"authorization": "Bearer sesame"}).status_code == 200
    assert client.post("/predict", content=b"").status_code == 401


@pytest.mark.parametrize(
    ("listening", "allowed", "header", "is_accepted"),
    [
        ("127.0.0.1", (), "localhost:8000", True),
        ("127.0.0.1", (), "LOCALHOST.", True),
        ("127.0.0.1", (), "[::1]:8000", True),
        ("127.0.0.1", (), "192.168.1.7:8000", False),
        ("127.0.0.1", (), "evil.example", False),
        ("127.0.0.1", (), "localhost.evil.example", False),
        ("127.0.0.1", ("pi.example",), "pi.example", True),
        ("0.0.0.0", (), "192.168.1.7:8000", True),
        ("0.0.0.0", (), "[fe80::1]:8000", True),
        ("::", (), "10.0.0.1", True),
        ("0.0.0.0", (), socket.gethostname(), True),
        ("0.0.0.0", (), f"{socket.gethostname().partition('.')[0]}.local:80", True),
        ("0.0.0.0", (), "evil.example:8000", False),
        ("0.0.0.0", (), "192.168.1.7.evil.example", False),
        ("0.0.0.0", ("*.example.com",), "digits.example.com", True),
        ("0.0.0.0", ("*.example.com",), "example.com.evil.example", False),
        ("0.0.0.0", ("*.example.com",), "evilexample.com", False),
        ("0.0.0.0", ("Digits.Example.com",), "digits.example.com:443", True),
        ("0.0.0.0", ("*",), "evil.example", True),
        ("0.0.0.0", (), "", True),
    ],
)
def test_host_names_are_accepted_if_they_are_of_this_machine_or_allowed(
    create_service: ServiceFactory, listening: str, allowed: tuple[str, ...], header: str, is_accepted: bool
) -> None:
    hosts, addresses = accepted_names(listening, allowed)
    response = create_service(hosts=hosts, addresses=addresses).get("/", headers={"host": header})
    assert response.status_code == (200 if is_accepted else 400)
    if not is_accepted:
        assert "--allowed-host NAME" in response.json()["error"]


def test_responses_have_security_headers(client: TestClient) -> None:
    for response in (
        client.get("/"),
        client.get("/models"),
        client.get("/none"),
        client.post("/predict", content=b"x"),
    ):
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "server" not in response.headers
    preflight = client.options(
        "/predict", headers={"origin": "https://evil.example", "access-control-request-method": "POST"}
    )
    assert preflight.status_code == 405 and not any(name.startswith("access-control") for name in preflight.headers)
    assert client.get("/models").headers["cache-control"] == "no-store"


def test_metrics_count_requests(create_service: ServiceFactory) -> None:
    client = create_service()
    client.post("/v2/models/edge/infer", json=infer(digits(3)))
    client.post("/predict", content=b"x")
    client.get("/wp-login.php")
    shown = client.get("/metrics").text
    assert 'requests_total{method="POST",route="/v2/models/{model}/infer",status="200"} 1.0' in shown
    assert 'requests_total{method="POST",route="/predict",status="400"} 1.0' in shown
    assert 'requests_total{method="GET",route="(none)",status="404"} 1.0' in shown
    assert 'digits_edge_batch_images_sum{model="edge-int8"} 3.0' in shown
    assert "wp-login" not in shown


def test_metrics_count_refused_requests_under_their_route(create_service: ServiceFactory) -> None:
    client = create_service(key="sesame", hosts=("testserver",), requests=0)
    key = {"authorization": "Bearer sesame"}
    client.post("/predict", content=b"x")
    client.get("/v2/models/edge")
    busy = client.post("/v2/models/edge/infer", json={}, headers=key)
    assert (busy.status_code, busy.headers["retry-after"]) == (429, "1")
    client.post("/predict", content=b"x", headers={**key, "sec-fetch-site": "cross-site"})
    client.post("/predict", content=b"x", headers={**key, "host": "evil.example"})
    client.get("/predict", headers=key)
    client.post("/wp-login.php", headers=key)
    shown = client.get("/metrics", headers=key).text
    for method, route, status in (
        ("POST", "/predict", 401),
        ("GET", "/v2/models/{model}", 401),
        ("POST", "/v2/models/{model}/infer", 429),
        ("POST", "/predict", 403),
        ("POST", "/predict", 400),
        ("GET", "/predict", 405),
        ("POST", "(none)", 429),
    ):
        assert f'requests_total{{method="{method}",route="{route}",status="{status}"}} 1.0' in shown, (route, status)
    assert "digits_edge_requests_shed_total 2.0" in shown


class Application:
    """ASGI application that reads a request and responds when `go` is set."""

    def __init__(self) -> None:
        self.go, self.received = asyncio.Event(), asyncio.Semaphore(0)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        self.received.release()
        await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def test_requests_above_the_limit_get_status_429() -> None:
    async def inside() -> None:
        application, shed = Application(), []
        admission = Admission(application, Limits(requests=2, bytes=1000, body_bytes=500), shed=lambda: shed.append(1))
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(admission), base_url="http://here") as client:
            requests = [asyncio.create_task(client.post("/", content=b"x" * 100)) for _ in range(2)]
            for _ in requests:
                await application.received.acquire()
            busy = await client.post("/", content=b"x")
            assert (busy.status_code, busy.headers["retry-after"], len(shed)) == (429, "1", 1)
            application.go.set()
            assert [(await request).status_code for request in requests] == [200, 200]
            assert (await client.post("/", content=b"x")).status_code == 200
            assert admission.requests == 0

    asyncio.run(inside())


def test_bytes_in_flight_are_limited() -> None:
    async def inside() -> None:
        application = Application()
        admission = Admission(ExceptionMiddleware(application), Limits(bytes=1000))
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(admission), base_url="http://here") as client:
            request = asyncio.create_task(client.post("/", content=b"x" * 500))
            await application.received.acquire()
            busy = await client.post("/", content=b"x" * 501)
            assert (busy.status_code, busy.headers["retry-after"]) == (429, "1")
            application.go.set()
            assert (await request).status_code == 200
            assert (await client.post("/", content=b"x" * 501)).status_code == 200

    asyncio.run(inside())


@pytest.mark.parametrize(("has_body", "status"), [(False, 408), (True, 503)])
def test_slow_requests_are_ended(has_body: bool, status: int) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        if not has_body:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    admission = Admission(Application(), Limits(body_s=0.05, answer_s=0.05))
    asyncio.run(admission({"type": "http", "method": "POST", "headers": []}, receive, send))
    assert sent[0]["status"] == status


@pytest.mark.parametrize("error", [ModelError("GPU lost"), RuntimeError("a bug")])
def test_internal_errors_get_status_500(
    create_service: ServiceFactory, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(self: MicroBatcher, images: object) -> None:
        raise error

    monkeypatch.setattr(MicroBatcher, "predict", fail)
    client = create_service()
    response = client.post("/v2/models/edge/infer", json=infer(digits(1)))
    assert response.status_code == 500 and response.json()["error"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert 'status="500"} 1.0' in client.get("/metrics").text
    assert client.get("/v2/health/live").status_code == 200


def test_service_is_not_ready_after_a_model_failed_until_it_runs_again(
    create_service: ServiceFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Classifier, images: np.ndarray, **options: Any) -> np.ndarray:
        raise ModelError("GPU lost")

    client = create_service("edge-int8", "cnn-small-int8")
    assert client.get("/v2/health/ready").status_code == 200
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "predict_batch", fail)
        assert client.post("/v2/models/edge/infer", json=infer(digits(1))).status_code == 500
    for path in ("/v2/health/ready", "/v2/models/edge/ready"):
        response = client.get(path)
        assert response.status_code == 503 and response.json()["error"].startswith("edge-int8 failed; restart")
    assert client.get("/v2/health/live").status_code == client.get("/v2/models/cnn-small/ready").status_code == 200
    assert client.post("/v2/models/edge/infer", json=infer(digits(1))).status_code == 200
    assert client.get("/v2/health/ready").status_code == 200


@pytest.fixture(scope="session")
def other_client(photograph_model: Path, position_model: Path) -> Iterator[TestClient]:
    """A client of a service with models of colour photographs and of objects."""
    with service_factory() as create:
        yield create(photograph_model, position_model)


def colours() -> np.ndarray:
    """Red, green and blue images, uint8 (3, 32, 32, 3)."""
    images = np.zeros((3, 32, 32, 3), np.uint8)
    for index in range(3):
        images[index, ..., index] = 150 + index
    return images


def test_real_shapes_of_other_models_are_described(other_client: TestClient) -> None:
    photographs = other_client.get("/v2/models/photographs").json()
    assert photographs["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 32, 32, 3]}]
    assert photographs["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}]
    assert other_client.get("/v2/models/positions").json()["inputs"][0]["shape"] == [-1, 64, 64]
    first, second = other_client.get("/models").json()["models"]
    assert first["input"] == {"height": 32, "width": 32, "channels": 3, "polarity": "as-photographed"}
    assert first["preprocessing"][1] == {"height": 32, "width": 32, "step": "center_crop"}
    assert (first["output"], second["output"]) == ("softmax", "sigmoid")
    description = other_client.get("/openapi.json").json()["components"]["schemas"]["InferInput"]
    shapes = description["properties"]["shape"]["anyOf"]
    assert [[axis["const"] for axis in shape["prefixItems"][1:]] for shape in shapes] == [
        [32, 32, 3],
        [3072],
        [64, 64],
        [4096],
    ]


@pytest.mark.parametrize("form", ["nested", "flat rows", "flat data", "binary"])
def test_colour_images_are_classified(other_client: TestClient, photograph_model: Path, form: str) -> None:
    images = colours()
    request, options = infer(images.reshape(3, 3072) if form == "flat rows" else images), {}
    if form == "flat data":
        request["inputs"][0]["data"] = images.ravel().tolist()
    if form == "binary":
        del request["inputs"][0]["data"]
        request["inputs"][0]["parameters"] = {"binary_data_size": images.size}
        json_part = json.dumps(request).encode()
        options = {"content": json_part + images.tobytes(), "headers": {HEAD: str(len(json_part))}}
    response = other_client.post("/v2/models/photographs/infer", **(options or {"json": request})).json()
    with Classifier(photograph_model, provider="cpu") as classifier:
        expected = classifier.predict_batch(images)
    np.testing.assert_array_equal(np.float32(response["outputs"][0]["data"]).reshape(3, 3), expected)


@pytest.mark.parametrize("shape", [[1, 28, 28], [1, 784], [1, 32, 32], [1, 3, 32, 32], [1, 32, 32, 3, 1]])
def test_shape_of_another_model_is_rejected(other_client: TestClient, shape: list[int]) -> None:
    tensor = {"name": "image", "datatype": "UINT8", "shape": shape, "data": [0] * int(np.prod(shape))}
    response = other_client.post("/v2/models/photographs/infer", json={"inputs": [tensor]})
    assert response.status_code == 400
    error = response.json()["error"]
    assert error.startswith("inputs.0.shape: ")
    if len(shape) < 5:
        assert error == f"inputs.0.shape: {shape}, expected [N, 32, 32, 3] or [N, 3072]"


def test_photograph_is_classified_and_never_blank(other_client: TestClient) -> None:
    photograph = Image.new("RGB", (70, 50), (0, 180, 0))
    response = other_client.post("/predict?show=image,map", content=png(photograph)).json()
    assert (response["label"], response["digit"], response["box"], response["boxes"]) == ("leaf", 1, None, [])
    assert base64.b64decode(response["image"]) == bytes([0, 180, 0] * 1024)
    assert len(response["map"]) == 1024
    black = other_client.post("/predict", content=png(Image.new("L", (9, 9)))).json()
    assert black["status"] == "uncertain"


def test_independent_probabilities_and_blank_objects(other_client: TestClient) -> None:
    picture = Image.new("L", (100, 100), "white")
    blank = other_client.post("/predict?model=positions", content=png(picture)).json()
    assert (blank["status"], blank["label"]) == ("blank", None)
    picture.paste(20, (20, 10, 80, 90))
    found = other_client.post("/predict?model=positions", content=png(picture)).json()
    assert found["status"] == "ok" and sum(found["probabilities"]) > 2
