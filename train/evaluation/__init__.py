"""Evaluation and comparison of models, and Grad-CAM."""
