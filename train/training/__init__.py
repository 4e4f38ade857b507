"""Training: recipes, run folders, checkpoints, distillation and cross-validation."""
