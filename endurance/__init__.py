"""What takes too long for the tests: power cuts, load, thousands of sessions; docs/robustness.md has the figures."""
