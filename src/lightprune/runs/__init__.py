"""What a finished run is: its folder, its record, its identity, its predictions."""
