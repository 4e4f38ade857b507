"""The trained networks of tests/export."""

from tests.export.conftest import drawn, source, trained

__all__ = ["drawn", "source", "trained"]
