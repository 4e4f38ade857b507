"""The model file: its metadata and golden values, and the models bundled with the package."""
