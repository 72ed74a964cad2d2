"""Training batches beside those that a trainer trains on."""

import copy
from collections.abc import Iterator
from typing import Any

from lightning import Trainer
from lightning.pytorch.utilities.combined_loader import CombinedLoader


def training_batches(trainer: Trainer) -> Iterator[Any]:
    """Iterates over the training batches from the start, as `training_step` gets them.

    Several loaders give one batch together, as they do there.
    """
    trained = trainer.fit_loop._combined_loader
    assert trained is not None
    loaders = CombinedLoader(trained.iterables, trained._mode)
    loaders.flattened = [_own_workers(loader) for loader in loaders.flattened]
    for batch, _, _ in loaders:
        batch = trainer.precision_plugin.convert_input(batch)
        batch = trainer.lightning_module._on_before_batch_transfer(batch)
        yield trainer.strategy.batch_to_device(batch)


def _own_workers(loader: Any) -> Any:
    """A loader whose workers, where it keeps them, are not those of the epoch that is running."""
    if not getattr(loader, "persistent_workers", False):
        return loader
    loader = copy.copy(loader)
    loader._iterator = None
    return loader
