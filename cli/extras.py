"""Imports of optional dependencies, with an error message that names the missing extra."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import click

from digits_edge.cli.output import show
from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.packages import extra_of_module, install_command, missing_packages, needs_message
from digits_edge.runtime.session.quiet import silenced_stderr


@contextmanager
def needs_extra(*extras: str) -> Iterator[None]:
    """Run imports that need extras; suppress what TensorFlow writes to stderr while it loads.

    Args:
        extras: names of the extras.

    Raises:
        UsageError: a package of the extras is not installed.
    """
    show("loading libraries")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        with silenced_stderr():
            yield
    except ModuleNotFoundError as error:
        missing = missing_module(error, extras)
        if missing is None:
            raise
        raise missing from error


def missing_module(error: ModuleNotFoundError, extras: tuple[str, ...] = (), *, subject: str = "") -> UsageError | None:
    """Convert the error of an import to one that names the extra to install.

    Args:
        error: the error of the import.
        extras: extras that the command needs; none to search all extras for the module.
        subject: name of the command; "" for that of the running one.

    Returns:
        The error; None if no extra can fix it, because the module is one of this package or is in no extra.
    """
    module = error.name or ""
    if module.partition(".")[0] == "digits_edge":
        return None
    context = click.get_current_context(silent=True)
    subject = subject or (context and context.info_name) or "this command"
    if lacking := [extra for extra in extras if missing_packages(extra)]:
        return UsageError(needs_message(subject, lacking))
    found = extra_of_module(module)
    if found is not None and missing_packages(found):
        return UsageError(needs_message(subject, [found]))
    if not extras and found is None:
        return None
    # all packages are there by their metadata: one was removed in part, or does not bring a module of its own
    names = install_command(*(extras or (str(found),))).removeprefix("pip install ")
    return UsageError(f"{subject} could not import {module}; repair it with: pip install --force-reinstall {names}")
