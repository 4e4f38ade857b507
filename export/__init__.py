"""Export of Keras digit classifiers to ONNX model files that contain their own verification data.

Keras is imported when a name that needs it is first used, so reading the nodes of a model file does not import it.
"""

from typing import TYPE_CHECKING

import digits_edge.runtime  # noqa: F401 - configures onnxruntime before it is imported
from digits_edge.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from digits_edge.export.ensemble import Ensemble, mean_outputs
    from digits_edge.export.exporting import Exported, export
    from digits_edge.export.precision.options import Int8Options
    from digits_edge.export.sequences.exporting import ExportedLines, export_lines
    from digits_edge.export.sequences.runs import is_line_run
    from digits_edge.export.sequences.source import LineSource, read_line_source
    from digits_edge.export.source import Source, calibrated_outputs, read_source

__all__ = [
    "Ensemble",
    "Exported",
    "ExportedLines",
    "Int8Options",
    "LineSource",
    "Source",
    "calibrated_outputs",
    "export",
    "export_lines",
    "is_line_run",
    "mean_outputs",
    "read_line_source",
    "read_source",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ensemble": ("Ensemble", "mean_outputs"),
        "exporting": ("Exported", "export"),
        "precision.options": ("Int8Options",),
        "sequences.exporting": ("ExportedLines", "export_lines"),
        "sequences.runs": ("is_line_run",),
        "sequences.source": ("LineSource", "read_line_source"),
        "source": ("Source", "calibrated_outputs", "read_source"),
    },
)
