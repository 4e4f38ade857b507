"""Model files: metadata, golden values, checksum, and the models bundled with the package."""
