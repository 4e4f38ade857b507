"""Reading handwritten digits with onnxruntime: the edge side of digits-edge.

What most programs need stands here; it is imported when first used, so that importing this package costs nothing and
`digits-edge --help` is instant. Everything else is imported from the module that has it.
"""

import os
from typing import TYPE_CHECKING

from digits_edge.runtime.errors import (
    CheckError,
    DataError,
    DigitsEdgeError,
    ImageError,
    InputError,
    ModelError,
    UsageError,
)
from digits_edge.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from digits_edge.runtime.classifier import Classifier
    from digits_edge.runtime.model.bundled import BundledModel, bundled_models
    from digits_edge.runtime.model.model_file import Metadata
    from digits_edge.runtime.prediction import Prediction

# since 1.31 onnxruntime keeps an identifier in the home folder and reports to its maker; who wants that sets 0
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "BundledModel",
    "CheckError",
    "Classifier",
    "DataError",
    "DigitsEdgeError",
    "ImageError",
    "InputError",
    "Metadata",
    "ModelError",
    "Prediction",
    "UsageError",
    "bundled_models",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "classifier": ("Classifier",),
        "model.bundled": ("BundledModel", "bundled_models"),
        "model.model_file": ("Metadata",),
        "prediction": ("Prediction",),
    },
)
