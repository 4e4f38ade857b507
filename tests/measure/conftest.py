"""Fixtures of tests/export: synthetic digits and trained networks."""

from tests.export.conftest import drawn, source, trained

__all__ = ["drawn", "source", "trained"]
