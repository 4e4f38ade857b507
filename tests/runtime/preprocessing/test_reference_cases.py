"""The preprocessing in Python reproduces the reference cases bit for bit, with every supported version of Pillow.

`tests/export/targets/test_browser_preprocessing.py` compares the JavaScript with the same file.
"""

import base64
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.steps import CenterCropStep, DigitStep, ObjectStep, PadStep, ResizeStep
from digits_edge.runtime.preprocessing.steps import apply_steps

CASES_FILE = Path(__file__).parents[2] / "data" / "preprocessing_cases.json"
STEPS = {step.step: step for step in (DigitStep, ObjectStep, ResizeStep, CenterCropStep, PadStep)}
CASES = json.loads(CASES_FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[f"{case['format']}: {case['name']}" for case in CASES])
def test_case_is_reproduced(case: dict):
    pixels = np.frombuffer(zlib.decompress(base64.b64decode(case["pixels"])), np.uint8)
    picture = Image.fromarray(pixels.reshape(case["height"], case["width"], 4))
    image = ImageInput(**case["input"])
    prepared = apply_steps(picture, [STEPS[step["step"]](**step) for step in case["steps"]], image)
    expected = np.frombuffer(base64.b64decode(case["image"]), np.uint8).reshape(image.shape)
    np.testing.assert_array_equal(prepared.image, expected)
    assert prepared.blank == case["blank"]
    assert [list(box) for box in prepared.boxes] == case["boxes"]
    assert prepared.box == (case["box"] and tuple(case["box"]))


def test_cases_cover_all_steps_and_blank_pictures():
    assert {step["step"] for case in CASES for step in case["steps"]} == STEPS.keys()
    assert {(case["format"], case["blank"]) for case in CASES} >= {
        (name, blank) for name in ("mnist", "fashion-mnist") for blank in (True, False)
    }
    assert CASES_FILE.stat().st_size < 600_000
