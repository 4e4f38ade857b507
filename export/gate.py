"""The gate of an export: a graph must agree with Keras before it is written."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from digits_edge.export.keras_outputs import KerasOutputs, ReferenceOutputs
from digits_edge.export.reference import reproducible_rows
from digits_edge.runtime.checks.parity import GOLDEN_TOLERANCE, Parity, compare, golden_shortfalls, shortfalls
from digits_edge.runtime.errors import CheckError
from digits_edge.runtime.model.golden import GoldenValues
from digits_edge.runtime.model.model_file import Precision
from digits_edge.runtime.session.providers import open_session

_BATCH = 500


class GraphOutputs:
    """A callable that runs a graph on the CPU provider."""

    def __init__(self, graph: ir.Model) -> None:
        self._session = open_session(ir.to_proto(graph).SerializeToString(), "cpu")

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Predict probabilities, float32 (N, C), for images, uint8 (N, 28, 28)."""
        batches = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
        return np.concatenate([self._session.run(batch) for batch in batches])


@dataclass(frozen=True, eq=False)
class Gate:
    """The limits of a precision and the predictions they are checked on.

    Attributes:
        precision: selects the limits.
        compared: Keras's predictions for the validation or reference images.
        golden: the golden values that the model file will contain.
    """

    precision: Precision
    compared: ReferenceOutputs
    golden: GoldenValues

    @classmethod
    def of(cls, keras: KerasOutputs, precision: Precision) -> "Gate":
        """Create the gate of a source.

        Raises:
            CheckError: the Keras model has low confidence on all reference images.
        """
        rows = reproducible_rows(keras.reference.probabilities)
        if not rows.size:
            raise CheckError(
                "the Keras model has low confidence on all reference digits; "
                "check --input-scale and --invert, and that the model is trained"
            )
        images, probabilities = keras.reference.images[rows], keras.reference.probabilities[rows]
        return cls(precision, keras.compared, GoldenValues(images, probabilities, GOLDEN_TOLERANCE[precision]))

    def check(self, predict: GraphOutputs) -> tuple[Parity, list[str]]:
        """Compare a graph's predictions with Keras's.

        Returns:
            The parity on `compared`, and the limits that are exceeded; empty if the graph passes.
        """
        parity = compare(self.compared.probabilities, predict(self.compared.images), self.compared.labels)
        golden = compare(self.golden.probabilities, predict(self.golden.images))
        return parity, shortfalls(parity, self.precision) + golden_shortfalls(golden, self.golden.tolerance)
