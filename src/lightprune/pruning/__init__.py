"""The pruning core: pure PyTorch, no knowledge of training loops or configuration."""
