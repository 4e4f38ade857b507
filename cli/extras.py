"""Importing the training side: quietly, and with a clear line where an extra is missing."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from digits_edge.cli.output import show
from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.session.quiet import silenced_stderr


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Import heavy modules inside; what TensorFlow's C++ says while it loads is not for the user.

    Raises:
        UsageError: a module of the extra is not installed.
    """
    show("loading libraries")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        with silenced_stderr():
            yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("digits_edge"):
            raise  # no extra brings what this package itself lacks
        raise UsageError(
            f"this command needs {error.name}, which is not installed: pip install 'digits-edge[{extra}]'"
        ) from error
