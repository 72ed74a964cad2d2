"""An exponential moving average of the weights, from the last prune event on."""

from itertools import islice
from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from lightprune.callbacks.pruning_callback import PruningCallback
from lightprune.pruning.batch_norm import recalibrate
from lightprune.training.classifier import as_classifier

# Training batches that batch norms of the average are estimated on, at most those of an epoch.
_BATCHES = 20


class EmaWeights(Callback):
    """Has an average of the weights validated, and kept by the callbacks that stand before it.

    It begins with the weights after the first step that follows the last prune event, so that
    pruned weights are zero in it, and takes in those of every later step. From the last step of an
    epoch to its end it takes the place of the trained weights, with the statistics of batch norms
    estimated for it. Then the trained weights and their statistics are put back, so that training
    goes on as without it.

    Lightning's own averages are put back before an epoch's end, where the best epoch is chosen, and
    have no statistics of their own.
    """

    def __init__(self, decay: float, pruning: PruningCallback) -> None:
        """`decay`, in (0, 1), is the weight of the old average in the new one."""
        self._average: dict[str, Tensor] = {}
        self._update = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self._pruning = pruning
        self._steps = 0
        self._trained: dict[str, Tensor] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Brings a restored average to the device of the network."""
        self._steps = trainer.global_step
        self._average = {name: value.to(pl_module.device) for name, value in self._average.items()}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Takes the weights in after an optimizer step; after the last one of an epoch, swaps."""
        has_stepped, self._steps = trainer.global_step > self._steps, trainer.global_step
        if not has_stepped or len(self._pruning.records) < len(self._pruning.plan.events):
            return
        weights = {
            name: p.detach() for name, p in as_classifier(pl_module).network.named_parameters()
        }
        if self._average:
            self._update(list(self._average.values()), list(weights.values()), 1)
        else:
            self._average = {name: weight.clone() for name, weight in weights.items()}
        if trainer.is_last_batch:
            self._swap_in(trainer, pl_module)

    def _swap_in(self, trainer: Trainer, pl_module: LightningModule) -> None:
        network = as_classifier(pl_module).network
        self._trained = {name: v.detach().clone() for name, v in network.state_dict().items()}
        # Not by a state dict, in which a weight that layers share has several names.
        for weight, average in zip(network.parameters(), self._average.values(), strict=True):
            weight.detach().copy_(average)
        loader = trainer.datamodule.train_dataloader()  # type: ignore[attr-defined]
        with trainer.precision_plugin.forward_context():
            recalibrate(pl_module, (images for images, _ in islice(loader, _BATCHES)))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Puts the trained weights back, before a checkpoint is saved."""
        if self._trained:
            as_classifier(pl_module).network.load_state_dict(self._trained)
            self._trained = {}

    def state_dict(self) -> dict[str, Any]:
        return {"average": self._average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._average = dict(state_dict["average"])
