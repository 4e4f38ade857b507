"""Golden answers: a few reference images and what Keras answered for them, packed into the model file."""

import base64
import json
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.json_record import parse_json

#: Metadata is read into memory at every start, so the golden answers stay small.
LARGEST_PACKED_BYTES = 16 * 1024
_IMAGE_SHAPE = (28, 28)
_MOST_IMAGES = 1000


@dataclass(frozen=True)
class GoldenAnswers:
    """Reference images and their right answers.

    Attributes:
        images: uint8 (K, 28, 28).
        probabilities: float32 (K, C), Keras's, calibrated.
        tolerance: the largest difference of a probability that this precision may show on any machine.
    """

    images: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    tolerance: float

    def pack(self) -> str:
        """As text for the model file's metadata."""
        count, classes = self.probabilities.shape
        return json.dumps(
            {
                "count": count,
                "classes": classes,
                "tolerance": self.tolerance,
                "images": _to_text(zlib.compress(self.images.tobytes(), 9)),
                "probabilities": _to_text(self.probabilities.astype("<f4").tobytes()),
            }
        )

    @classmethod
    def unpack(cls, text: str) -> "GoldenAnswers":
        """Read what `pack` wrote.

        Raises:
            ModelError: the text is not packed golden answers.
        """
        try:
            packed = parse_json(text)
            count, classes, tolerance = int(packed["count"]), int(packed["classes"]), float(packed["tolerance"])
            if not 0 < count <= _MOST_IMAGES:
                raise ValueError(f"{count} images")
            size = count * _IMAGE_SHAPE[0] * _IMAGE_SHAPE[1]
            # one byte more than there may be, so that more is seen and never unpacked
            pixels = zlib.decompressobj().decompress(base64.b64decode(packed["images"]), size + 1)
            images = np.frombuffer(pixels, np.uint8).reshape(count, *_IMAGE_SHAPE)
            answers = np.frombuffer(base64.b64decode(packed["probabilities"]), "<f4").reshape(count, classes)
        except (ValueError, KeyError, TypeError, OverflowError, zlib.error) as error:
            raise ModelError(f"golden answers that cannot be read ({error}); export the model again") from error
        return cls(images, answers.astype(np.float32), tolerance)


def _to_text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
