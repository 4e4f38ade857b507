"""Turning Keras digit classifiers into self-checking ONNX model files."""

from digits_edge.export.ensemble import Ensemble, mean_answers
from digits_edge.export.exporting import Exported, export
from digits_edge.export.source import Source, calibrated_answers, read_source

__all__ = ["Ensemble", "Exported", "Source", "calibrated_answers", "export", "mean_answers", "read_source"]
