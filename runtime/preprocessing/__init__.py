"""Conversion of pictures to the 28×28 images that the models take."""
