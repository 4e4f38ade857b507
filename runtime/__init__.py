"""Reading handwritten digits with onnxruntime: the edge side of digits-edge.

What most programs need stands here; it is imported when first used, so that importing this package costs nothing and
`digits-edge --help` is instant. Everything else is imported from the module that has it.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from digits_edge.runtime.errors import (
    CheckError,
    DataError,
    DigitsEdgeError,
    ImageError,
    InputError,
    ModelError,
    UsageError,
)

if TYPE_CHECKING:
    from digits_edge.runtime.bundled import BundledModel, bundled_models
    from digits_edge.runtime.classifier import Classifier, Prediction
    from digits_edge.runtime.model_file import Metadata

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

_HOMES = {
    "BundledModel": "bundled",
    "Classifier": "classifier",
    "Metadata": "model_file",
    "Prediction": "classifier",
    "bundled_models": "bundled",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value  # the next look-up finds it without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
