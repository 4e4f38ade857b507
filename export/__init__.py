"""Turning Keras digit classifiers into self-checking ONNX model files.

Keras is imported when a name that needs it is first used, so that the nodes of a model file are read without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import digits_edge.runtime  # noqa: F401 - before anything here imports onnxruntime: it says how that is to behave

if TYPE_CHECKING:
    from digits_edge.export.ensemble import Ensemble, mean_answers
    from digits_edge.export.exporting import Exported, export
    from digits_edge.export.source import Source, calibrated_answers, read_source

__all__ = ["Ensemble", "Exported", "Source", "calibrated_answers", "export", "mean_answers", "read_source"]

_HOMES = {
    "ensemble": ("Ensemble", "mean_answers"),
    "exporting": ("Exported", "export"),
    "source": ("Source", "calibrated_answers", "read_source"),
}


def __getattr__(name: str) -> Any:
    for module, exported in _HOMES.items():
        if name in exported:
            return getattr(import_module(f"digits_edge.export.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
