"""A model file against other ways to run the same weights, one process for each, timed in turns."""
