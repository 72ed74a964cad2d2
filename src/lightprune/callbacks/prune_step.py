"""One prune event: decides masks, prunes weights and all state that depends on them, measures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice

from lightning import Trainer
from torch import Tensor, nn

from lightprune.callbacks.invariants import depends_on_input
from lightprune.callbacks.optimizer_state import (
    POLICIES,
    all_but_regrown,
    mask_averages,
    mask_optimizer,
)
from lightprune.callbacks.probe import NetworkProbe
from lightprune.callbacks.prunable_module import PrunableModule
from lightprune.callbacks.score_accumulator import ScoreAccumulator
from lightprune.callbacks.sync import broadcast_buffers, broadcast_masks, check_same_weights
from lightprune.pruning.batch_norm import recalibrate
from lightprune.pruning.event_record import EventRecord, PruningError, distance
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.schedules import Plan, PruneEvent


@dataclass(frozen=True)
class WeightReset:
    """Replaces the trained weights after an event, which has ranked them before.

    Attributes:
        state: Returns a state dict of the network.
        always: At every event; otherwise at the last one.
    """

    state: Callable[[], Mapping[str, Tensor]]
    always: bool


def weight_reset(
    weights: str, fresh: Callable[[], Mapping[str, Tensor]], early: Mapping[str, Tensor] | None
) -> WeightReset | None:
    """The reset that `Pruner.weights` stands for.

    Args:
        weights: The pruner's setting.
        fresh: Returns a state dict as it is before any training.
        early: A state dict early in the dense training, for `rewind`.
    """
    if weights == "rewind" and early is None:
        raise ValueError("pruner.weights=rewind: there are no early weights")
    resets = {
        "reinitialise": WeightReset(fresh, always=False),
        "rewind": WeightReset(lambda: early or {}, always=True),
    }
    return resets.get(weights)


@dataclass(frozen=True)
class PruneContext:
    """The training in which an event happens.

    Attributes:
        trainer: Has the data and the optimizers.
        module: Has the network.
        weights: The prunable ones, by name.
        example: Inputs that differ from each other, on the network's device.
        live: Which weights some input can reach.
        macs: How often one image has each weight multiply data (`macs_per_weight`).
        accumulator: Of a criterion that accumulates scores.
    """

    trainer: Trainer
    module: PrunableModule
    weights: dict[str, nn.Parameter]
    example: Tensor
    live: Masks
    macs: dict[str, Tensor]
    accumulator: ScoreAccumulator | None

    def accuracy(self) -> float:
        """Validation accuracy of the network as it stands, 0..1."""
        batches = self.trainer.datamodule.val_dataloader()  # type: ignore[attr-defined]
        return self.module.evaluate(batches).accuracy

    def probe(self) -> NetworkProbe:
        """The probe for criteria and regrowth."""
        return NetworkProbe(self.trainer, self.module, self.example, self.accumulator)


@dataclass(frozen=True)
class PruneStep:
    """Performs the prune events of a plan.

    Attributes:
        pruner: Decides the masks.
        plan: Has the events.
        optimizer_state: What an event does to it: `mask`, `reset` or `keep`.
        weight_reset: Replaces the trained weights after an event; None keeps them.
        recalibrate: On how many training batches batch norms are estimated anew; 0 leaves them.
    """

    pruner: Pruner
    plan: Plan
    optimizer_state: str
    weight_reset: WeightReset | None
    recalibrate: int

    def run(
        self, event: PruneEvent, context: PruneContext, masks: Masks
    ) -> tuple[Masks, EventRecord]:
        """Prunes the network and the state that depends on its weights, in place.

        Args:
            event: One of the plan's.
            context: The training.
            masks: Which weights are kept before.

        Returns:
            Which weights are kept after, and the record of the event.

        Raises:
            PruningError: The network's output no longer depends on its input, or the weights of
                the ranks differ.
        """
        check_same_weights(context.trainer, context.weights, event.epoch)
        broadcast_buffers(context.trainer, context.module.network)
        before = context.accuracy()
        pruned = self._masks(event, context, masks)
        moved = distance(context.weights, pruned, context.live)
        is_reset = self._reset_weights(event, context.module.network)
        pruned.apply_({name: weight.detach() for name, weight in context.weights.items()})
        self._mask_state(context, all_but_regrown(masks, pruned), pruned, is_reset)
        self._check_output(event, context)
        after = context.accuracy()
        recalibrated = self._recalibrated_accuracy(context)
        record = EventRecord.of(
            event,
            pruned,
            context.live,
            distance=moved,
            before=before,
            after=after,
            recalibrated=recalibrated,
        )
        return pruned, record

    def _masks(self, event: PruneEvent, context: PruneContext, masks: Masks) -> Masks:
        """The pruner's masks, those of rank 0 on every rank."""
        pruned = self.pruner.prune(
            context.weights,
            masks,
            event.sparsity,
            final=self.plan.final,
            macs=context.macs,
            probe=context.probe(),
            progress=self.plan.progress_at(event),
        )
        return broadcast_masks(context.trainer, pruned, context.weights)

    def _reset_weights(self, event: PruneEvent, network: nn.Module) -> bool:
        """Replaces weights and buffers if this event does so; returns whether it does."""
        if self.weight_reset is None:
            return False
        is_due = self.weight_reset.always or event == self.plan.events[-1]
        if is_due:
            network.load_state_dict(self.weight_reset.state())
        return is_due

    def _mask_state(
        self, context: PruneContext, staying: Masks, masks: Masks, is_reset: bool
    ) -> None:
        """Prunes averages, optimizer state and scores; weights that come back start anew."""
        mask_averages(context.trainer, context.module, masks)
        policy = POLICIES["reset" if is_reset else self.optimizer_state]
        for optimizer in context.trainer.optimizers:
            policy(optimizer, context.weights, masks)
            mask_optimizer(optimizer, context.weights, staying)
        if context.accumulator is not None:
            context.accumulator.reset_(staying)

    def _check_output(self, event: PruneEvent, context: PruneContext) -> None:
        if not depends_on_input(context.module, context.example):
            raise PruningError(
                f"schedule: at sparsity {event.sparsity:g} (epoch {event.epoch}) the network's "
                "output no longer depends on its input; allowed is a lower sparsity or a "
                "pruner.floor above 0"
            )

    def _recalibrated_accuracy(self, context: PruneContext) -> float | None:
        """Recalibrates batch norms; returns the accuracy afterwards, None where it does not."""
        if not self.recalibrate:
            return None
        loader = context.trainer.datamodule.train_dataloader()  # type: ignore[attr-defined]
        images = (images for images, _ in islice(loader, self.recalibrate))
        with context.trainer.precision_plugin.forward_context():
            recalibrate(context.module, images)
        return context.accuracy()
