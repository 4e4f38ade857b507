"""Turning Keras digit classifiers into self-checking ONNX model files."""

from digits_edge.export.exporting import Exported, export
from digits_edge.export.source import Source, calibrated_answers, read_source

__all__ = ["Exported", "Source", "calibrated_answers", "export", "read_source"]
