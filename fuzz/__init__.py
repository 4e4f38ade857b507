"""Coverage-guided fuzzing of every way into digits-edge; docs/robustness.md has its figures."""
