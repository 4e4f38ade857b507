"""Shapes of digits as people in different countries write them, each a function that draws random strokes."""
