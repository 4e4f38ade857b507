"""Benchmarks run alone: what shares the machine with others measures them too."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", 0):
        raise pytest.UsageError("benchmarks are measured in one process: pytest -n 0 benchmarks/")
