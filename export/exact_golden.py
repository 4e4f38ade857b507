"""Golden values of int8 models in exact arithmetic: `with_exact`."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from digits_edge.export.precision.exact import exact_probabilities
from digits_edge.runtime.errors import CheckError
from digits_edge.runtime.model.golden import GoldenValues


def with_exact(
    golden: GoldenValues,
    graph: ir.Model,
    predicted: NDArray[np.float32],
    *,
    max_difference: float,
    max_share_left_out: float = 0.0,
) -> GoldenValues:
    """Add predictions in exact arithmetic to the golden values, if this processor's predictions agree.

    Args:
        golden: the golden values, N images.
        graph: the int8 graph.
        predicted: outputs of this processor for the images, N rows.
        max_difference: largest difference of a probability from exact arithmetic.
        max_share_left_out: largest share of the images that are left out because they differ by more, 0 to 1.

    Raises:
        CheckError: this processor's predictions differ too much on more images.
    """
    shape = golden.probabilities.shape
    exact = exact_probabilities(graph, golden.images).reshape(shape)
    differences = np.nan_to_num(np.abs(exact - predicted.reshape(shape)).max(axis=1), nan=np.inf)
    kept = differences <= max_difference
    if kept.mean() < 1 - max_share_left_out:
        raise CheckError(
            f"this processor's int8 kernels differ from exact arithmetic by {differences.max():.2g} > "
            f"{max_difference:g}, nothing is written; report it with the output of `digits-edge doctor`"
        )
    tolerance = max(golden.exact_tolerance, 2 * float(differences[kept].max()))
    return GoldenValues(golden.images[kept], golden.probabilities[kept], golden.tolerance, exact[kept], tolerance)
