"""Structured sparsity: whole channels removed, and 2:4 tensors for GPUs."""
