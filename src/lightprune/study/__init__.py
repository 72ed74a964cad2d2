"""What only the reproduction of the reference needs."""
