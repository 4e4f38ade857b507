"""Reading of digits and numbers with onnxruntime: the runtime package of digits-edge.

The names below are the public API. They are imported on first use (PEP 562), so `import digits_edge.runtime` loads
neither numpy nor onnxruntime.

Example:
    >>> from digits_edge.runtime import Classifier
    >>> with Classifier("edge-int8", provider="cpu") as classifier:
    ...     prediction = classifier.predict(classifier.golden.images[7])  # or "picture.png"
    >>> prediction.label, prediction.status
    ('7', 'ok')
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
    ProviderError,
    UsageError,
)
from digits_edge.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from digits_edge.runtime.classifier import Classifier
    from digits_edge.runtime.model.bundled import BundledModel, bundled_models
    from digits_edge.runtime.model.model_file import Metadata
    from digits_edge.runtime.prediction import Prediction
    from digits_edge.runtime.reader.reader import Reader
    from digits_edge.runtime.reader.reading import Reading

# Since 1.31, onnxruntime stores an identifier in the home folder and sends telemetry; setting 0 allows it.
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
    "ProviderError",
    "Reader",
    "Reading",
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
        "reader.reader": ("Reader",),
        "reader.reading": ("Reading",),
    },
)
