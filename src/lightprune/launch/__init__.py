"""Starts runs: in this process or under torchrun, with signals and errors handled once."""
