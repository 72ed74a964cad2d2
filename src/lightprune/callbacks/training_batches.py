"""Training batches beside those that a trainer trains on."""

import copy
from collections.abc import Iterator
from typing import Any

from lightning import Trainer


def training_batches(trainer: Trainer) -> Iterator[Any]:
    """Iterates over the training batches from the start, on the device of the module.

    Workers of a loader that keeps them belong to the epoch that is running: these batches are read
    by others.
    """
    loader: Any = trainer.train_dataloader
    if getattr(loader, "persistent_workers", False):
        loader = copy.copy(loader)
        loader._iterator = None
    for batch in loader:
        yield trainer.strategy.batch_to_device(batch)
