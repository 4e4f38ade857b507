"""Charts used by reports and run folders (needs matplotlib)."""
