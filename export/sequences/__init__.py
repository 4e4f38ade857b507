"""Export of sequence models, which read lines of numbers."""
