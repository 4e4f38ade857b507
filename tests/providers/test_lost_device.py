"""The loss of a device: an error with a remedy, no partial output, a service that is not ready, and a new start.

The device is lost for real: SwiftShader's functions are replaced in memory by ones that return VK_ERROR_DEVICE_LOST.
"""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.providers.conftest import Result

#: Runs in a process of its own, because a lost device is not usable again while any session on it is open.
PREPARE = '''
import ctypes, json, os, sys
from pathlib import Path

import numpy as np

from digits_edge.runtime import Classifier, ModelError

FUNCTIONS = (b"vkQueueSubmit", b"vkQueueSubmit2", b"vkWaitForFences", b"vkGetFenceStatus")
RETURN_DEVICE_LOST = bytes.fromhex("b8fcffffffc3")  # x86-64: mov eax, -4; ret
model, provider, folder = sys.argv[1:]
images = np.zeros((3, 32, 32, 3), np.uint8)
images[0, ..., 0] = images[1, ..., 1] = images[2, ..., 2] = 200


class CreateInfo(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("next", ctypes.c_void_p), ("rest", ctypes.c_uint64 * 8)]


class Driver:
    """SwiftShader in this process."""

    def __init__(self):
        manifest = Path(os.environ["VK_ICD_FILENAMES"])
        path = json.loads(manifest.read_text())["ICD"]["library_path"]
        library = ctypes.CDLL(str(manifest.parent / path))
        library.vk_icdNegotiateLoaderICDInterfaceVersion(ctypes.byref(ctypes.c_uint32(5)))
        find = library.vk_icdGetInstanceProcAddr
        find.restype, find.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]
        create = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 3)(find(None, b"vkCreateInstance"))
        instance, info = ctypes.c_void_p(), CreateInfo(type=1)
        assert create(ctypes.byref(info), None, ctypes.byref(instance)) == 0
        self.code = {}
        protect = ctypes.CDLL(None).mprotect
        protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for name in FUNCTIONS:
            address = find(instance, name)
            assert protect(address & ~4095, 8192, 7) == 0
            self.code[address] = ctypes.string_at(address, len(RETURN_DEVICE_LOST))

    def lose(self):
        for address in self.code:
            ctypes.memmove(address, RETURN_DEVICE_LOST, len(RETURN_DEVICE_LOST))

    def recover(self):
        for address, code in self.code.items():
            ctypes.memmove(address, code, len(code))


def error_of(call):
    try:
        call()
    except ModelError as error:
        return str(error), error.exit_code
    return None


driver = Driver()
'''

LIBRARY = """
classifier = Classifier(model, provider=provider)
assert classifier.predict_batch(images).argmax(axis=1).tolist() == [0, 1, 2]
driver.lose()
found = [error_of(lambda: classifier.predict_batch(images)) for _ in range(2)]
driver.recover()
found.append(error_of(lambda: classifier.predict_batch(images)))  # it stays lost
classifier.close()
with Classifier(model, provider=provider) as again:
    assert again.predict_batch(images).argmax(axis=1).tolist() == [0, 1, 2]
print(json.dumps(found))
"""

COMMAND = """
from digits_edge.cli.main import run
from PIL import Image

pictures = Path(folder) / "pictures"
pictures.mkdir()
for index in range(3):
    Image.fromarray(images[index]).save(pictures / f"{index}.png")
with Classifier(model, provider=provider) as classifier:
    driver.lose()
    codes = [
        run(["batch-predict", str(pictures), "-o", f"{folder}/out.csv", "--model", model, "--provider", provider]),
        run(["predict", f"{pictures}/0.png", "--model", model, "--provider", provider]),
        run(["verify", model, "--provider", provider]),
    ]
print(json.dumps(codes))
"""

SERVICE = """
from starlette.testclient import TestClient

from digits_edge.runtime.service.app import create_app
from digits_edge.runtime.service.limits import Limits
from digits_edge.runtime.service.metrics import Metrics
from digits_edge.runtime.service.served_models import ServedModels

metrics = Metrics()
served = ServedModels([model], provider=provider, threads=1, metrics=metrics)
tensor = {"name": "image", "datatype": "UINT8", "shape": list(images.shape), "data": images.tolist()}
path = f"/v2/models/{Path(model).stem}"
application = create_app(served, metrics, limits=Limits(), key=None, hosts=("*",), addresses=False)
with TestClient(application, raise_server_exceptions=False) as client:
    infer = lambda: client.post(f"{path}/infer", json={"inputs": [tensor]})
    health = lambda: [client.get(each).status_code for each in ("/v2/health/live", "/v2/health/ready", f"{path}/ready")]
    found = [infer().status_code, *health()]
    driver.lose()
    response = infer()
    found += [response.status_code, *health(), response.json()["error"]]
print(json.dumps(found))
"""


@pytest.fixture
def run(provider, filter_model, tmp_path):
    """Run a program that loses the device; returns its result."""
    driver = os.environ.get("VK_ICD_FILENAMES", "")
    if provider.partition(":")[0] != "webgpu" or "swiftshader" not in driver or platform.machine() != "x86_64":
        pytest.skip("a device can be lost on purpose only with WebGPU on SwiftShader, x86-64")

    def run_program(program: str) -> Result:
        line = [sys.executable, "-c", PREPARE + program, str(filter_model), provider, str(tmp_path)]
        done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, timeout=300)
        return Result(done.returncode, done.stdout, done.stderr)

    return run_program


def test_lost_device_is_an_error_with_a_remedy_until_the_model_is_opened_again(run, filter_model, provider):
    result = run(LIBRARY)
    assert (result.code, result.stderr) == (0, "")
    errors = json.loads(result.stdout)
    for message, code in errors:
        assert code == 3 and "\n" not in message
        assert message.startswith(f"{filter_model} could not be run by provider {provider}: ")
        assert message.endswith("restart the program, or close all classifiers and open new ones")
    assert len(errors) == 3


def test_commands_end_with_3_and_leave_no_partial_output(run, tmp_path):
    result = run(COMMAND)
    assert result.code == 0 and json.loads(result.stdout.splitlines()[-1]) == [3, 3, 3]
    errors = result.stderr.splitlines()
    assert len([line for line in errors if line.startswith("error: ")]) == len(errors) == 3
    assert [path.name for path in Path(tmp_path).iterdir()] == ["pictures"]


def test_service_reports_the_error_and_is_not_ready(run):
    pytest.importorskip("starlette", reason="the service needs the extra serve")
    pytest.importorskip("httpx2", reason="Starlette's test client needs httpx2")
    result = run(SERVICE)
    assert result.code == 0, result.stderr
    *statuses, error = json.loads(result.stdout.splitlines()[-1])
    assert statuses == [200, 200, 200, 200, 500, 200, 503, 503]
    assert "could not be run by provider" in error
