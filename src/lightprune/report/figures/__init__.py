"""The drawings of a report: legible in print and for colour-blind readers, the same every time."""
