"""Batch prediction: read tables or folders of pictures and write the predictions to a CSV."""
