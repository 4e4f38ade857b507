"""Refuse to run the benchmarks in parallel, because they would slow each other down."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", 0):
        raise pytest.UsageError("benchmarks must run in one process: use `pytest -n 0 benchmarks/`")
