"""`lightprune bench`: the sparse runtime beside the best dense engines, measured on one machine."""
