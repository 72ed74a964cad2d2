"""Fits with equal settings, interrupted and resumed; the optimizers that tests share."""

from dataclasses import dataclass
from functools import partial

import pytest
import torch
from lightning import Callback
from torch import nn

from lightprune.callbacks.pruning_callback import PruningCallback
from lightprune.pruning.pruner import Pruner
from lightprune.training.fit import PhaseRun, fit
from tests.training.small import (
    MOMENTUM,
    BreakOffAt,
    BrokenOffError,
    cnn,
    phase,
    plan,
    small_setup,
)

STEPS = plan((0, 0.5), (2, 0.9))


class Violations(Callback):
    """Collects the pruned weights that are not zero, after every batch."""

    def __init__(self):
        self.steps, self.seen = 0, []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        (pruning,) = (c for c in trainer.callbacks if isinstance(c, PruningCallback))
        self.steps += 1
        if found := pruning.masks.violations(dict(pl_module.network.named_parameters())):
            self.seen.append((trainer.global_step, found))


@dataclass(frozen=True)
class Fits:
    """Fits with the same settings in folders of their own."""

    folder: object
    settings: dict

    def run(self, name, *watchers, course=STEPS, network=cnn, pruner=None, **setup_settings):
        setup = small_setup(*watchers, network=network, **setup_settings)
        return fit(
            setup,
            setup.new_network(),
            PhaseRun(
                "finetune",
                phase(course.epochs, **self.settings),
                course,
                pruner=pruner or Pruner(),
                dense=phase(20, peak=0.1),
            ),
            self.folder / name,
        )

    def broken_off(self, name, epoch, **settings):
        """A fit that stops before an epoch."""
        with pytest.raises(BrokenOffError):
            self.run(name, BreakOffAt(epoch), **settings)


def without_seconds(rows):
    """Rows without their times."""
    return [{**vars(row), "seconds": 0} for row in rows]


OPTIMIZERS = {
    "sgd": partial(torch.optim.SGD, lr=0.1),
    "momentum": partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": MOMENTUM,
    "adam": partial(torch.optim.Adam, weight_decay=0.01),
    "adamw": partial(torch.optim.AdamW, weight_decay=0.1, amsgrad=True),
    "rmsprop": partial(torch.optim.RMSprop, momentum=0.9, centered=True, weight_decay=0.01),
}


def with_dropout(num_classes=4):
    return cnn(num_classes).insert(10, nn.Dropout(0.5))
