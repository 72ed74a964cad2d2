"""Runs an executable on images: threads, shared work, outputs."""
