"""From a picture to the image that a model takes."""
