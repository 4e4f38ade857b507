"""Turning Keras digit classifiers into self-checking ONNX model files."""

from digits_edge.export.exporting import Exported, export
from digits_edge.export.source import Source, read_source

__all__ = ["Exported", "Source", "export", "read_source"]
