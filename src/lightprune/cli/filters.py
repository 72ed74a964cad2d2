"""`lightprune filters RUN`."""

from typing import Annotated

import typer

from lightprune.cli.options import DenseDir, Run, WhichNetwork
from lightprune.runs.find_folder import find_run


def filters(
    run: Run,
    sparsity: Annotated[float, typer.Option(metavar="S", help="Share of the channels to remove.")],
    scope: Annotated[
        str, typer.Option(metavar="local|global", help="In each layer, or over all.")
    ] = "local",
    norm: Annotated[str, typer.Option(metavar="l1|l2", help="Ranks the channels.")] = "l1",
    network: WhichNetwork = "dense",
    dense_dir: DenseDir = None,
) -> None:
    """Remove channels: a smaller dense network, to be fine-tuned."""
    from lightprune.structured.channel_pruning import ChannelPruning, write_pruned_channels

    pruning = ChannelPruning(sparsity, scope, norm, network)
    for line in write_pruned_channels(find_run(run), pruning, dense_dir):
        print(line)
