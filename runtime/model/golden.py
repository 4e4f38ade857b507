"""Golden answers: a few reference images and the right answers to them, packed into the model file.

Right is what Keras predicted, within what the precision may differ; and for int8 what exact arithmetic makes of the
same integers, within very little. The first tells whether a model was converted well, the second whether a processor
computes it as it is.
"""

import base64
import json
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.json_record import parse_json

#: Metadata is read into memory at every start, so the golden answers stay small.
MAX_PACKED_BYTES = 16 * 1024
_IMAGE_SHAPE = (28, 28)
_MAX_IMAGES = 1000
#: How far a probability may be from exact arithmetic. Bundled models were 0.0008 away at most (2,000 images or more, on
#: AMD Zen 3 and an emulated Haswell); sums that saturate moved golden probabilities of the old `edge-int8` by 0.05.
EXACT_TOLERANCE = 0.005
_STEPS = 65535


@dataclass(frozen=True)
class GoldenValues:
    """Reference images and their right answers.

    Attributes:
        images: uint8 (K, 28, 28).
        probabilities: float32 (K, C), Keras's, calibrated.
        tolerance: the largest difference from these that this precision may show on any machine.
        exact: float32 (K, C), what the graph of this file predicts in exact arithmetic; None where it is not int8.
        exact_tolerance: the largest difference from those that any machine may show.
    """

    images: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    tolerance: float
    exact: NDArray[np.float32] | None = None
    exact_tolerance: float = EXACT_TOLERANCE

    def pack(self) -> str:
        """As text for the model file's metadata."""
        count, classes = self.probabilities.shape
        packed = {
            "count": count,
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
        """Read what `pack` wrote.

        Raises:
            ModelError: the text is not packed golden answers.
        """
        try:
            packed = parse_json(text)
            count, classes, tolerance = int(packed["count"]), int(packed["classes"]), float(packed["tolerance"])
            if not 0 < count <= _MAX_IMAGES:
                raise ValueError(f"{count} images")
            size = count * _IMAGE_SHAPE[0] * _IMAGE_SHAPE[1]
            images = np.frombuffer(_inflated(packed["images"], size), np.uint8).reshape(count, *_IMAGE_SHAPE)
            answers = np.frombuffer(base64.b64decode(packed["probabilities"]), "<f4").reshape(count, classes)
            exact, exact_tolerance = None, EXACT_TOLERANCE
            if "exact" in packed:
                steps = np.frombuffer(_inflated(packed["exact"], 2 * answers.size), "<u2").reshape(count, classes)
                exact, exact_tolerance = (steps / _STEPS).astype(np.float32), float(packed["exact_tolerance"])
        except (ValueError, KeyError, TypeError, OverflowError, zlib.error) as error:
            raise ModelError(f"golden answers that cannot be read ({error}); export the model again") from error
        return cls(images, answers.astype(np.float32), tolerance, exact, exact_tolerance)


def _inflated(text: str, size: int) -> bytes:
    """Compressed bytes, and one more than there may be, so that a bomb is noticed and never unpacked."""
    return zlib.decompressobj().decompress(base64.b64decode(text), size + 1)


def _to_text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
