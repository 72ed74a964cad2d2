"""The sections of a report, a file each: its words, its table, its figure."""
