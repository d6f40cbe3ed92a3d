"""Weights that trainings start from: reading files, matching their tensors to a space, norms that a file lacks."""
