"""From a program to an executable: memory, packing, tiling, instructions."""
