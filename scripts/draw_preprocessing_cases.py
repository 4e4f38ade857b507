"""Draw the reference cases of the preprocessing: `python -m scripts.draw_preprocessing_cases`.

Writes tests/data/preprocessing_cases.json, against which Python and JavaScript are tested independently: pictures, and
the image, `blank` and boxes that the Python preprocessing computes. With `--check`, nothing is written, and the exit
code is 1 if the file differs from what would be written.

Run it after a deliberate change of the preprocessing, with Pillow 13 or later.
"""

import argparse
import base64
import json
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from digits_edge.runtime.files import atomic_write
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.steps import (
    CenterCropStep,
    DigitStep,
    ObjectStep,
    PadStep,
    PreprocessingStep,
    ResizeStep,
)
from digits_edge.runtime.preprocessing.steps import apply_steps
from tests.runtime.preprocessing.drawn_pictures import BLANK_PAGES, DIGITS, GARMENTS, NUMBERS, Pixels

CASES_FILE = Path(__file__).resolve().parents[1] / "tests" / "data" / "preprocessing_cases.json"
#: Pictures that compress to more bytes than this are reduced to this longer side in pixels.
MAX_PIXEL_BYTES, SMALL_SIDE = 6_000, 80
#: Pictures that Pillow before 13 resizes differently, by some grey levels: tall ones and transparent ones.
OMITTED = frozenset({"in the corner of a tall page", "on transparent", "half transparent", "tall"})


def _first(pictures: dict[str, Callable[[], Pixels]]) -> dict[str, Callable[[], Pixels]]:
    """The first pictures, for formats whose steps the other pictures do not exercise further."""
    return {name: pictures[name] for name in list(pictures)[:2]}


_PHOTOGRAPH = ImageInput(32, 32, 3, "as-photographed")
#: Name of a format → preprocessing steps, input, and the pictures drawn for it.
FORMATS: dict[str, tuple[tuple[PreprocessingStep, ...], ImageInput, dict[str, Callable[[], Pixels]]]] = {
    "mnist": ((DigitStep(),), ImageInput(), DIGITS | NUMBERS | BLANK_PAGES),
    "fashion-mnist": ((ObjectStep(),), ImageInput(), GARMENTS),
    "small digit": ((DigitStep(14, 16), PadStep(20, 24)), ImageInput(20, 24), _first(DIGITS)),
    "photograph": ((ResizeStep(32, 32, "cover"), CenterCropStep(32, 32)), _PHOTOGRAPH, _first(GARMENTS)),
    "whole photograph": ((ResizeStep(32, 32, "contain"), PadStep(32, 32, 128)), _PHOTOGRAPH, _first(GARMENTS)),
    "grey photograph": ((ResizeStep(20, 30),), ImageInput(20, 30, polarity="as-photographed"), _first(GARMENTS)),
}

_REMEDY = "run python -m scripts.draw_preprocessing_cases if the change is deliberate"


def drawn_cases() -> Iterator[dict[str, Any]]:
    """Draw the pictures and compute their results.

    Yields:
        A case in the form in which the file contains it, but with `pixels` and `image` as bytes.
    """
    for format_name, (steps, image, pictures) in FORMATS.items():
        for name in pictures.keys() - OMITTED:
            yield {"name": name, "format": format_name} | _case(steps, image, _small(pictures[name]()))


def read_cases(path: Path = CASES_FILE) -> list[dict[str, Any]]:
    """Read the file, with `pixels` and `image` decoded to bytes.

    Args:
        path: A file that this script has written.
    """
    cases = json.loads(path.read_text(encoding="utf-8"))
    for case in cases:
        case["pixels"] = zlib.decompress(base64.b64decode(case["pixels"]))
        case["image"] = base64.b64decode(case["image"])
    return list(cases)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the file; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="Compare the file with what would be written")
    options = parser.parse_args(arguments)
    cases = sorted(drawn_cases(), key=lambda case: (case["format"], case["name"]))
    if not options.check:
        with atomic_write(CASES_FILE) as stream:
            stream.write(_text(cases).encode())
        return 0
    stored = {(case["format"], case["name"]): case for case in read_cases()}
    drawn = {(case["format"], case["name"]): case for case in cases}
    changed = sorted(name for name in stored.keys() | drawn.keys() if stored.get(name) != drawn.get(name))
    for preprocessing, name in changed:
        print(f"{CASES_FILE.name}: {preprocessing} case {name!r} differs; {_REMEDY}", file=sys.stderr)
    return 1 if changed else 0


def _case(steps: tuple[PreprocessingStep, ...], image: ImageInput, pixels: Pixels) -> dict[str, Any]:
    prepared = apply_steps(Image.fromarray(pixels), steps, image)
    return {
        "steps": [asdict(step) for step in steps],
        "input": asdict(image),
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "pixels": pixels.tobytes(),
        "image": prepared.image.tobytes(),
        "blank": prepared.blank,
        "boxes": [[int(side) for side in box] for box in prepared.boxes],
        "box": None if prepared.box is None else [int(side) for side in prepared.box],
    }


def _small(pixels: Pixels) -> Pixels:
    if len(zlib.compress(pixels.tobytes(), 9)) <= MAX_PIXEL_BYTES:
        return pixels
    scale = SMALL_SIDE / max(pixels.shape[:2])
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def _text(cases: Sequence[dict[str, Any]]) -> str:
    """The file, with one line for each case."""
    lines = []
    for case in cases:
        pixels = base64.b64encode(zlib.compress(case["pixels"], 9)).decode()
        lines.append(json.dumps(case | {"pixels": pixels, "image": base64.b64encode(case["image"]).decode()}))
    return "[\n" + ",\n".join(lines) + "\n]\n"


if __name__ == "__main__":
    sys.exit(main())
