"""Training data: reading, reports, augmentation, corruption."""
