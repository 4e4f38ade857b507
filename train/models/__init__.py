"""Keras architectures, their layers and weight averaging."""
