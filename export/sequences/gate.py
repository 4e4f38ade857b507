"""The gate of a sequence model's export: its strings must agree with Keras's before it is written."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from digits_edge.export.sequences.source import LineSource, columns_of
from digits_edge.export.temperature import softmax
from digits_edge.runtime.checks.parity import GOLDEN_TOLERANCE
from digits_edge.runtime.checks.string_parity import StringParity, compare_strings, confidence, string_shortfalls
from digits_edge.runtime.datasets.line_set import LineSet
from digits_edge.runtime.model.golden import GoldenValues
from digits_edge.runtime.model.model_file import Precision
from digits_edge.runtime.reader.best_path import best_path
from digits_edge.runtime.session.providers import open_session

#: Golden probabilities of an int8 model may differ by this multiple of the difference at export.
_GOLDEN_MARGIN = 1.5
#: Golden lines have at least this confidence in Keras.
_MIN_CONFIDENCE = 0.5


class LineOutputs:
    """A callable that runs a graph of lines on the CPU provider."""

    def __init__(self, graph: ir.Model, column_px: int) -> None:
        self._session = open_session(ir.to_proto(graph).SerializeToString(), "cpu")
        self._column_px = column_px

    def __call__(self, lines: LineSet) -> list[NDArray[np.float32]]:
        """Compute the columns of each line, float32 (T, K + 1) each."""
        found: dict[int, NDArray[np.float32]] = {}
        for rows, batch in lines.batches():
            for row, output in zip(rows, self.batch(batch), strict=True):
                found[row] = output[: columns_of(int(lines.widths[row]), self._column_px)]
        return [found[row] for row in range(len(lines))]

    def batch(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the columns of lines of the same width, uint8 (N, 32, W), as float32 (N, T, K + 1)."""
        return self._session.run(images)


@dataclass(frozen=True, eq=False)
class LineGate:
    """Keras's columns, which a graph is compared with.

    Attributes:
        precision: selects the limits.
        labels: the characters.
        lines: the compared lines.
        columns: Keras's probabilities of their columns.
        golden_images: uint8 (N, 32, W), reference lines.
        golden_columns: float32 (N, T, K + 1), Keras's probabilities of them.
    """

    precision: Precision
    labels: tuple[str, ...]
    lines: LineSet
    columns: list[NDArray[np.float32]]
    golden_images: NDArray[np.uint8]
    golden_columns: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        source: LineSource,
        precision: Precision,
        lines: LineSet,
        logits: Iterable[NDArray[np.float32]],
        references: NDArray[np.uint8],
        temperature: float,
    ) -> "LineGate":
        """Create the gate of a source from its logits for the lines."""
        columns = [softmax(each, temperature) for each in logits]
        golden = LineSet.of("reference", list(references), [""] * len(references))
        golden_columns = np.stack([softmax(each, temperature) for each in source.logits(golden)])
        certain = [confidence(each, source.labels, best_path(each, source.labels)) for each in golden_columns]
        kept = [row for row, value in enumerate(certain) if value >= _MIN_CONFIDENCE] or [int(np.argmax(certain))]
        return cls(precision, source.labels, lines, columns, references[kept], golden_columns[kept])

    def check(self, predict: LineOutputs) -> tuple[StringParity, list[str]]:
        """Compare a graph's strings with Keras's.

        Returns:
            The parity on the lines, and the limits that are exceeded; empty if the graph passes.
        """
        parity = compare_strings(self.columns, predict(self.lines), self.labels, self.lines.texts)
        problems = string_shortfalls(parity, self.precision)
        golden = compare_strings(list(self.golden_columns), list(predict.batch(self.golden_images)), self.labels)
        if golden.changed:
            problems.append(f"changed strings of reference lines {golden.changed} > 0")
        return parity, problems

    def golden(self, predict: LineOutputs) -> GoldenValues:
        """The golden values of a model file: each line is an image, with the probabilities of all its columns."""
        difference = float(np.abs(predict.batch(self.golden_images) - self.golden_columns).max())
        tolerance = max(GOLDEN_TOLERANCE[self.precision], round(_GOLDEN_MARGIN * difference, 3))
        flat = self.golden_columns.reshape(len(self.golden_columns), -1)
        return GoldenValues(self.golden_images, flat, min(tolerance, 1.0))
