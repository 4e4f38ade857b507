"""Pictures of a training (needs matplotlib)."""
