"""The `lightprune train` command: Hydra reads its arguments."""

import typer


def train(context: typer.Context) -> None:
    """Train, prune, fine-tune and test: GROUP=OPTION, KEY=VALUE; -m for a sweep."""
    from lightprune.launch.hydra_main import main

    main(context.args)
