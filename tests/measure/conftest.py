"""Fixtures of tests/export: synthetic digits and trained networks."""

from tests.export.conftest import drawn, evaluation_set, export_once, mislabelled, read, source, trained

__all__ = ["drawn", "evaluation_set", "export_once", "mislabelled", "read", "source", "trained"]
