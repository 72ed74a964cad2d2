"""One experiment from its config to its record: preflight, dense, prune and fine-tune, test."""
