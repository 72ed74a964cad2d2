"""What pruned weights save: multiplications by weight, layer and network; bytes."""
