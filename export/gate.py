"""The gate of an export: a graph must agree with Keras before it is written."""

from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from digits_edge.export.keras_outputs import KerasOutputs, ReferenceOutputs
from digits_edge.export.reference import clearest_rows, reproducible_rows
from digits_edge.runtime.checks.parity import GOLDEN_TOLERANCE, Parity, compare, golden_shortfalls, shortfalls
from digits_edge.runtime.errors import CheckError
from digits_edge.runtime.model.golden import GoldenValues, max_packed_bytes
from digits_edge.runtime.model.model_file import Precision
from digits_edge.runtime.session.providers import open_session

_BATCH = 500
#: Names, and overhead of the compression, of the exact probabilities in packed golden values.
_EXACT_ENTRY_BYTES = 200


class GraphOutputs:
    """A callable that runs a graph on the CPU provider."""

    def __init__(self, graph: ir.Model) -> None:
        self._session = open_session(ir.to_proto(graph).SerializeToString(), "cpu")

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Predict probabilities, float32 (N, C), for images, uint8 (N, H, W[, 3])."""
        batches = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
        return np.concatenate([self._session.run(batch) for batch in batches])


@dataclass(frozen=True, eq=False)
class Gate:
    """The limits of a precision and the predictions they are checked on.

    Attributes:
        precision: selects the limits.
        compared: Keras's predictions for the validation or reference images.
        golden: the golden values that the model file will contain.
        is_clear: whether Keras is confident on the golden images.
    """

    precision: Precision
    compared: ReferenceOutputs
    golden: GoldenValues
    is_clear: bool = True

    @classmethod
    def of(cls, keras: KerasOutputs, precision: Precision) -> "Gate":
        """Create the gate of a source.

        Raises:
            CheckError: the Keras model has low confidence on all reference images, and there are no validation images
                to compare on.
        """
        rows = reproducible_rows(keras.reference.probabilities)
        is_clear = bool(rows.size)
        if not is_clear and keras.validation is None:
            raise CheckError(
                "the Keras model has low confidence on all reference images; check --input-scale and --invert, and "
                "that the model is trained, or pass its data with --data"
            )
        rows = rows if is_clear else clearest_rows(keras.reference.probabilities)
        images, probabilities = keras.reference.images[rows], keras.reference.probabilities[rows]
        golden = _within_limit(GoldenValues(images, probabilities, GOLDEN_TOLERANCE[precision]))
        return cls(precision, keras.compared, golden, is_clear)

    def check(self, predict: GraphOutputs) -> tuple[Parity, list[str]]:
        """Compare a graph's predictions with Keras's.

        Returns:
            The parity on `compared`, and the limits that are exceeded; empty if the graph passes.
        """
        parity = compare(self.compared.probabilities, predict(self.compared.images), self.compared.labels)
        golden = compare(self.golden.probabilities, predict(self.golden.images))
        return parity, shortfalls(parity, self.precision) + golden_shortfalls(golden, self.golden.tolerance)


def _within_limit(golden: GoldenValues) -> GoldenValues:
    """As many of the golden values as a model file may have, with those of exact arithmetic that are added later."""
    classes, pixels = golden.probabilities.shape[1], golden.images[0].size
    while len(golden.images) > 1:
        exact_bytes = 2 * golden.probabilities.size * 4 // 3 + _EXACT_ENTRY_BYTES
        if len(golden.pack()) + exact_bytes <= max_packed_bytes(classes, pixels):
            break
        kept = len(golden.images) * 3 // 4
        golden = replace(golden, images=golden.images[:kept], probabilities=golden.probabilities[:kept])
    return golden
