"""`lightprune bench`: the sparse runtime beside the best dense backends on one machine."""
