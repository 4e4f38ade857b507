"""Verification of a sequence model on this machine and provider: golden values, batch sizes, widths and accuracy."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.checks.accuracy import Accuracy
from digits_edge.runtime.checks.parity import exact_shortfalls
from digits_edge.runtime.checks.string_parity import StringParity, compare_strings
from digits_edge.runtime.datasets.line_set import LineSet
from digits_edge.runtime.model.golden import GoldenValues
from digits_edge.runtime.model.model_file import Metadata
from digits_edge.runtime.reader.best_path import best_path
from digits_edge.runtime.reader.line_model import LineModel
from digits_edge.runtime.session.int8_kernels import saturate

#: Batch sizes to test.
BATCH_SIZES = (1, 2, 7)
#: Largest difference of a probability between batch sizes, and between a line and the same line with paper at its right
#: side, in the columns that the added paper cannot change.
_MAX_BATCH_DIFFERENCE = 1e-3
#: Width of the added paper, and of the part at the right side that it may change, in pixels.
_ADDED_PX, _REACH_PX = 36, 64


@dataclass(frozen=True)
class LineVerification:
    """Result of the verification of a sequence model.

    Attributes:
        model: name of the model.
        provider: short name of the bound provider.
        threads: number of threads.
        golden: comparison of the strings of the golden lines with Keras.
        golden_tolerance: largest difference of a golden probability that the file allows.
        exact_difference: largest difference of a golden probability from exact arithmetic; None if the file has no
            exact probabilities.
        exact_tolerance: largest such difference that the file allows.
        overflow_free: whether the file's int8 weights cannot overflow any kernel; None if it has none.
        kernels_saturate: whether this processor's default int8 kernels saturate sums of two products.
        batch_difference: largest difference of a probability between batch sizes and widths.
        int8_share: share of the multiplications in int8, as recorded at export.
        accuracy: right strings on the lines; None without any.
        problems: what failed, one line each.
    """

    model: str
    provider: str
    threads: int
    golden: StringParity
    golden_tolerance: float
    exact_difference: float | None
    exact_tolerance: float
    overflow_free: bool | None
    kernels_saturate: bool
    batch_difference: float
    int8_share: float | None
    accuracy: Accuracy | None
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether all checks passed."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Convert to a dictionary that can be serialized as JSON, with `holds`."""
        return {**asdict(self), "holds": self.holds}


def golden_columns(golden: GoldenValues, metadata: Metadata) -> NDArray[np.float32]:
    """The columns of the golden lines in Keras, float32 (N, T, K + 1); a file stores them as one row for each line."""
    return golden.probabilities.reshape(len(golden.images), -1, len(metadata.labels) + 1)


def verify_lines(model: LineModel, lines: LineSet | None = None) -> LineVerification:
    """Verify a sequence model on this machine with its bound provider.

    The strings of the golden lines must be those of Keras, and the probabilities of their columns within the file's
    tolerance, for all batch sizes and for lines with paper added. With the CPU provider, an int8 model is also compared
    with exact arithmetic.

    Args:
        model: the opened model.
        lines: also count the wrong strings of these.

    Returns:
        The result; failed checks are in `problems`.

    Raises:
        ModelError: the provider failed.
    """
    metadata, golden = model.metadata, GoldenValues.unpack(model.packed_golden)
    expected, found = golden_columns(golden, metadata), model.batch(golden.images)
    parity = compare_strings(list(expected), list(found), metadata.labels)
    problems = []
    if parity.changed:
        problems.append(f"changed strings of golden lines {parity.changed} > 0")
    if not parity.max_difference <= golden.tolerance:  # not `>`: a NaN is a problem
        problems.append(f"golden probabilities differ by {parity.max_difference:g} > {golden.tolerance:g}")
    exact_difference = None
    if golden.exact is not None:
        exact_difference = float(np.abs(golden.exact.reshape(expected.shape) - found).max())
        if model.provider == "cpu":
            problems += exact_shortfalls(exact_difference, golden.exact_tolerance)
    batch_difference = _batch_difference(model, golden.images, found)
    if not batch_difference <= max(_MAX_BATCH_DIFFERENCE, golden.exact_tolerance):
        problems.append(f"probabilities differ by {batch_difference:g} between batch sizes or widths")
    return LineVerification(
        model=metadata.name,
        provider=model.provider,
        threads=model.threads,
        golden=parity,
        golden_tolerance=golden.tolerance,
        exact_difference=exact_difference,
        exact_tolerance=golden.exact_tolerance,
        overflow_free=metadata.overflow_free if metadata.precision == "int8" else None,
        kernels_saturate=saturate(),
        batch_difference=batch_difference,
        int8_share=metadata.int8_share,
        accuracy=None if lines is None else _accuracy(model, lines),
        problems=tuple(problems),
    )


def _batch_difference(model: LineModel, images: NDArray[np.uint8], expected: NDArray[np.float32]) -> float:
    """Largest difference of a probability between batch sizes, and with paper added at the right side."""
    differences = []
    for size in BATCH_SIZES:
        order = np.arange(size) % len(images)
        differences.append(np.abs(model.batch(images[order]) - expected[order]).max())
    wider = model.batch(np.pad(images, ((0, 0), (0, 0), (0, _ADDED_PX))))
    same = expected.shape[1] * max(0, images.shape[2] - _REACH_PX) // images.shape[2]
    differences.append(np.abs(wider[:, :same] - expected[:, :same]).max(initial=0))
    return float(np.max(differences))


def _accuracy(model: LineModel, lines: LineSet) -> Accuracy:
    """Wrong strings; only digits are compared if the texts have no separators."""
    labels = model.metadata.labels
    digits_only = all(text.isdigit() for text in lines.texts if text)
    texts = [best_path(model.columns(image), labels) for image in lines.images]
    if digits_only:
        texts = ["".join(each for each in text if each.isdigit()) for text in texts]
    return Accuracy(sum(one != other for one, other in zip(texts, lines.texts, strict=True)), len(lines))
