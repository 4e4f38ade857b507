"""Loading Keras models of any version and kind, as models with one input and one output."""

from digits_edge.export.loading.load import load_keras
from digits_edge.export.loading.saved_model import is_saved_model

__all__ = ["is_saved_model", "load_keras"]
