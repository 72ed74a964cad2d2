"""Pruning experiments on CIFAR-10: dense training, pruning on a schedule, fine-tuning, test."""
