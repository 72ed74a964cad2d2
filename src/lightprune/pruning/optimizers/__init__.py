"""What keeps pruned weights at zero under an optimizer: its steps, its state."""
