"""Imports of optional dependencies, with an error message that names the missing extra."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from digits_edge.cli.output import show
from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.session.quiet import silenced_stderr


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Run imports that need an extra; suppress what TensorFlow writes to stderr while it loads.

    Args:
        extra: name of the extra, or several separated by commas.

    Raises:
        UsageError: a package of the extra is not installed.
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
            raise  # a defect of this package, which no extra can fix
        raise UsageError(
            f"this command needs {error.name}, which is not installed. "
            f"Install it with `pip install 'digits-edge[{extra}]'`"
        ) from error
