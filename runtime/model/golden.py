"""Golden values: reference images and their expected probabilities, stored in the model file's metadata.

There are two sets of expected probabilities. Those of Keras show whether the model was converted correctly; each
precision has its own tolerance. Those of exact arithmetic, for int8 models only, show whether the processor computes
the same integers; their tolerance is small.
"""

import base64
import json
import math
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.json_record import parse_json

_MAX_IMAGES = 1000
#: Maximum number of pixel values that are unpacked.
_MAX_PIXELS = 64_000_000
#: Shape of an image in files of schema 1.
_DEFAULT_SHAPE = [28, 28]
#: Largest allowed difference of a probability from exact arithmetic. The bundled models differed by at most 0.0008
#: (2,000 images or more, on AMD Zen 3 and an emulated Haswell). Saturated sums changed golden probabilities of the
#: former `edge-int8` by 0.05.
EXACT_TOLERANCE = 0.005
#: Exact probabilities are packed as multiples of 1/65535 (uint16).
_STEPS = 65535


def max_packed_bytes(classes: int, pixels: int) -> int:
    """The limit of the packed size: the metadata is read into memory at every start.

    Args:
        classes: number of classes.
        pixels: number of values of one image.

    Example:
        >>> max_packed_bytes(10, 784), max_packed_bytes(62, 784), max_packed_bytes(3, 96 * 96 * 3)
        (19872, 39840, 140416)
    """
    return 8 * 1024 + 384 * classes + min(10 * pixels, 128 * 1024)


@dataclass(frozen=True)
class GoldenValues:
    """Reference images and their expected probabilities.

    Attributes:
        images: uint8 (K, H, W) or (K, H, W, 3).
        probabilities: float32 (K, C), predicted by Keras, calibrated.
        tolerance: largest difference from `probabilities` that this precision may have on any machine.
        exact: float32 (K, C), predicted by this file's graph in exact arithmetic; None if it is not int8.
        exact_tolerance: largest difference from `exact` on any machine.

    Example:
        >>> images = np.zeros((2, 28, 28), np.uint8)
        >>> golden = GoldenValues(images, np.full((2, 10), 0.1, np.float32), tolerance=1e-4)
        >>> unpacked = GoldenValues.unpack(golden.pack())
        >>> np.array_equal(unpacked.probabilities, golden.probabilities), unpacked.tolerance
        (True, 0.0001)
    """

    images: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    tolerance: float
    exact: NDArray[np.float32] | None = None
    exact_tolerance: float = EXACT_TOLERANCE

    def pack(self) -> str:
        """Serialize as JSON for the model file's metadata."""
        count, classes = self.probabilities.shape
        packed = {
            "count": count,
            "shape": self.images.shape[1:],
            "classes": classes,
            "tolerance": self.tolerance,
            "images": _to_text(zlib.compress(self.images.tobytes(), 9)),
            "probabilities": _to_text(self.probabilities.astype("<f4").tobytes()),
        }
        if self.exact is not None:
            steps = np.rint(self.exact * _STEPS).astype("<u2")
            packed |= {"exact": _to_text(zlib.compress(steps.tobytes(), 9)), "exact_tolerance": self.exact_tolerance}
        return json.dumps(packed)

    @classmethod
    def unpack(cls, text: str) -> "GoldenValues":
        """Parse the output of `pack`.

        Raises:
            ModelError: the text is not packed golden values.
        """
        try:
            packed = parse_json(text)
            count, classes, tolerance = int(packed["count"]), int(packed["classes"]), float(packed["tolerance"])
            if not 0 < count <= _MAX_IMAGES:
                raise ValueError(f"{count} images")
            shape = tuple(int(side) for side in packed.get("shape", _DEFAULT_SHAPE))
            size = count * math.prod(shape)
            if not 0 < size <= _MAX_PIXELS:
                raise ValueError(f"{count} images of shape {shape}")
            images = np.frombuffer(_inflated(packed["images"], size), np.uint8).reshape(count, *shape)
            keras = np.frombuffer(base64.b64decode(packed["probabilities"]), "<f4").reshape(count, classes)
            exact, exact_tolerance = None, EXACT_TOLERANCE
            if "exact" in packed:
                steps = np.frombuffer(_inflated(packed["exact"], 2 * keras.size), "<u2").reshape(count, classes)
                exact, exact_tolerance = (steps / _STEPS).astype(np.float32), float(packed["exact_tolerance"])
        except (ValueError, KeyError, TypeError, OverflowError, zlib.error) as error:
            raise ModelError(f"invalid golden values ({error}); export the model again") from error
        return cls(images, keras.astype(np.float32), tolerance, exact, exact_tolerance)


def _inflated(text: str, size: int) -> bytes:
    """Decompress at most `size` + 1 bytes: a decompression bomb fails the caller's size check and is not unpacked."""
    return zlib.decompressobj().decompress(base64.b64decode(text), size + 1)


def _to_text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
