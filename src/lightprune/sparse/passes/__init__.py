"""From the graph to the program: legalize, fold, eliminate, crop, fuse, clean up."""
