"""Hyperparameter search and studies."""
