"""Checks that take too long for the test suite; the results are in docs/explanation/robustness.md."""
