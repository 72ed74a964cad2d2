"""From a PyTorch module to the graph IR, by torch.export."""
