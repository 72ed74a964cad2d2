"""Reproduction of the reference: its figures, the compute comparison, and what results/ holds."""
