"""The sparse runtime: a pruned network as a small program, executed fast on the CPU."""
