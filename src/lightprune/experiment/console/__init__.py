"""What a run prints beside its epochs and events: its plan, its state, its result."""
