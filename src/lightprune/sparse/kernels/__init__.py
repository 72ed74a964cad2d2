"""The interpreter of instructions and its kernels."""
