"""Pruning inside a Lightning training: the callback, and what a prune event does."""

from lightprune.callbacks.pruning_callback import PruningCallback

__all__ = ["PruningCallback"]
