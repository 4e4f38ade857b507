"""Reading of numbers in pictures."""
