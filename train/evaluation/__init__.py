"""Evaluation and comparison of models."""
