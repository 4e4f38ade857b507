"""What a graph has to answer like Keras before it is written."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from digits_edge.export.keras_outputs import KerasOutputs, ReferenceOutputs
from digits_edge.export.reference import steady
from digits_edge.runtime.checks.parity import GOLDEN_TOLERANCE, Parity, compare, golden_shortfalls, shortfalls
from digits_edge.runtime.errors import CheckError
from digits_edge.runtime.model.golden import GoldenValues
from digits_edge.runtime.model.model_file import Precision
from digits_edge.runtime.session.providers import open_session

_BATCH = 500


class GraphOutputs:
    """What a graph answers, on the CPU provider."""

    def __init__(self, graph: ir.Model) -> None:
        self._session = open_session(ir.to_proto(graph).SerializeToString(), "cpu")

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities, float32 (N, C), for uint8 (N, 28, 28)."""
        batches = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
        return np.concatenate([self._session.run(batch) for batch in batches])


@dataclass(frozen=True, eq=False)
class Gate:
    """The limits of a precision, and the images and golden answers they hold on."""

    precision: Precision
    compared: ReferenceOutputs
    golden: GoldenValues

    @classmethod
    def of(cls, keras: KerasOutputs, precision: Precision) -> "Gate":
        """The gate of a source.

        Raises:
            CheckError: Keras wavers on all reference images.
        """
        rows = steady(keras.reference.probabilities)
        if not rows.size:
            raise CheckError(
                "Keras is clear on none of the reference digits; is --input-scale right, and is the model trained?"
            )
        images, probabilities = keras.reference.images[rows], keras.reference.probabilities[rows]
        return cls(precision, keras.compared, GoldenValues(images, probabilities, GOLDEN_TOLERANCE[precision]))

    def judge(self, answers: GraphOutputs) -> tuple[Parity, list[str]]:
        """How far the answers are from Keras's, and what of it is too far."""
        parity = compare(self.compared.probabilities, answers(self.compared.images), self.compared.labels)
        golden = compare(self.golden.probabilities, answers(self.golden.images))
        return parity, shortfalls(parity, self.precision) + golden_shortfalls(golden, self.golden.tolerance)
