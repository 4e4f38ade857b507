"""Batch prediction: tables and folders of pictures in, a CSV out."""
