"""A prune event carried out: measure, choose, prune all that knows the weights, measure again."""

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
from lightprune.callbacks.sync import broadcast_buffers, broadcast_masks
from lightprune.pruning.batch_norm import recalibrate
from lightprune.pruning.event_record import EventRecord, PruningError, distance
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.schedules import Plan, PruneEvent


@dataclass(frozen=True)
class WeightReset:
    """Weights that an event puts in the place of the trained ones, once it has chosen by those.

    Attributes:
        state: Gives a state dict of the network.
        always: At every event; otherwise at the last one.
    """

    state: Callable[[], Mapping[str, Tensor]]
    always: bool


def weight_reset(
    weights: str, fresh: Callable[[], Mapping[str, Tensor]], early: Mapping[str, Tensor] | None
) -> WeightReset | None:
    """What `Pruner.weights` asks for.

    Args:
        weights: The pruner's setting.
        fresh: Gives a state dict as it is before any training.
        early: A state dict early in the dense training; None where there is none.
    """
    if weights == "rewind" and early is None:
        raise ValueError("pruner.weights=rewind: there are no early weights")
    offered = {
        "reinitialise": WeightReset(fresh, always=False),
        "rewind": WeightReset(lambda: early or {}, always=True),
    }
    return offered.get(weights)


@dataclass(frozen=True)
class PruneContext:
    """Where an event happens.

    Attributes:
        trainer: Whose data and optimizers.
        classifier: Whose network.
        weights: The prunable ones.
        example: Inputs that differ from each other, on the network's device.
        live: Which weights some input reaches.
        macs: How often one image has each weight multiply data.
        accumulator: Of a criterion that accumulates scores.
    """

    trainer: Trainer
    classifier: PrunableModule
    weights: dict[str, nn.Parameter]
    example: Tensor
    live: Masks
    macs: dict[str, Tensor]
    accumulator: ScoreAccumulator | None

    def accuracy(self) -> float:
        """On the validation images, as the network stands."""
        batches = self.trainer.datamodule.val_dataloader()  # type: ignore[attr-defined]
        return self.classifier.evaluate(batches).accuracy

    def probe(self) -> NetworkProbe:
        """What the criterion may ask."""
        return NetworkProbe(self.trainer, self.classifier, self.example, self.accumulator)


@dataclass(frozen=True)
class PruneStep:
    """How the events of a plan are carried out.

    Attributes:
        pruner: Decides the masks.
        plan: What the events are part of.
        optimizer_state: What an event does to it: `mask`, `reset` or `keep`.
        weight_reset: The weights that go on after an event; None for the trained ones.
        recalibrate: On how many training batches batch norms are estimated anew.
    """

    pruner: Pruner
    plan: Plan
    optimizer_state: str
    weight_reset: WeightReset | None
    recalibrate: int

    def carry_out(
        self, event: PruneEvent, site: PruneContext, masks: Masks
    ) -> tuple[Masks, EventRecord]:
        """Prunes, in place.

        Args:
            event: One of the plan's.
            site: Where.
            masks: What is kept so far.

        Returns:
            What is kept now, and what the event did.

        Raises:
            PruningError: The network's output no longer depends on its input, or processes
                disagree.
        """
        broadcast_buffers(site.trainer, site.classifier.network)
        before = site.accuracy()
        decided = self.pruner.prune(
            site.weights,
            masks,
            event.sparsity,
            final=self.plan.final,
            macs=site.macs,
            probe=site.probe(),
            progress=self.plan.progress_at(event),
        )
        chosen = broadcast_masks(site.trainer, decided, site.weights)
        moved = distance(site.weights, chosen, site.live)
        replaced = self._replace(event, site.classifier.network)
        chosen.apply_({name: weight.detach() for name, weight in site.weights.items()})
        self._clean(site, all_but_regrown(masks, chosen), chosen, replaced)
        if not depends_on_input(site.classifier, site.example):
            raise PruningError(
                f"schedule: at sparsity {event.sparsity:g} (epoch {event.epoch}) the network's "
                "output no longer depends on its input; allowed is a lower sparsity or a "
                "pruner.floor above 0"
            )
        after = site.accuracy()
        record = EventRecord.of(
            event,
            chosen,
            site.live,
            distance=moved,
            before=before,
            after=after,
            recalibrated=self._recalibrated(site),
        )
        return chosen, record

    def _replace(self, event: PruneEvent, network: nn.Module) -> bool:
        """Puts other weights and buffers in the place of the trained ones, where that is due."""
        if self.weight_reset is None:
            return False
        due = self.weight_reset.always or event == self.plan.events[-1]
        if due:
            network.load_state_dict(self.weight_reset.state())
        return due

    def _clean(self, site: PruneContext, staying: Masks, masks: Masks, replaced: bool) -> None:
        """Prunes what remembers weights; of weights that come back, nothing is remembered."""
        mask_averages(site.trainer, site.classifier, masks)
        for optimizer in site.trainer.optimizers:
            POLICIES["reset" if replaced else self.optimizer_state](optimizer, site.weights, masks)
            mask_optimizer(optimizer, site.weights, staying)
        if site.accumulator is not None:
            site.accumulator.reset_(staying)

    def _recalibrated(self, site: PruneContext) -> float | None:
        """The accuracy once batch norms are estimated anew; None where they are left."""
        if not self.recalibrate:
            return None
        loader = site.trainer.datamodule.train_dataloader()  # type: ignore[attr-defined]
        images = (images for images, _ in islice(loader, self.recalibrate))
        with site.trainer.precision_plugin.forward_context():
            recalibrate(site.classifier, images)
        return site.accuracy()
