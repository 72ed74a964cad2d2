"""The `lightprune` command: one module a subcommand."""
