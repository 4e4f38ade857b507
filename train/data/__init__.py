"""Training data: reading, reports, augmentation and corruption."""
