"""Which layers bear pruning: accuracy against sparsity layer by layer, and what follows from it."""
