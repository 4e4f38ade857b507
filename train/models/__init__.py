"""The Keras models by name, and what their layers need."""
