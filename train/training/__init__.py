"""Training: recipes, run folders, checkpoints, distillation, cross-validation."""
