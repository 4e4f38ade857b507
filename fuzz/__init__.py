"""Coverage-guided fuzzing of every kind of input; the results are in docs/explanation/robustness.md."""
