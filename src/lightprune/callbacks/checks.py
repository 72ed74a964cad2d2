"""What a pruning callback refuses before training, each by its name."""

from collections.abc import Iterable

from lightning import Callback, Trainer
from lightning.pytorch.strategies import (
    DeepSpeedStrategy,
    FSDPStrategy,
    ModelParallelStrategy,
    Strategy,
)

from lightprune.errors import InputError
from lightprune.pruning.criteria.probe import Loss
from lightprune.pruning.plan import Plan
from lightprune.pruning.pruner import Pruner


def check_strategy(strategy: Strategy) -> None:
    """Raises InputError if processes hold pieces of the weights."""
    if isinstance(strategy, FSDPStrategy | DeepSpeedStrategy | ModelParallelStrategy):
        raise InputError(
            f"strategy={type(strategy).__name__}: pruning ranks whole weights, and no process has "
            "them; allowed are strategies with whole weights in every process, as auto and ddp"
        )


def check_loss(pruner: Pruner, loss: Loss | None) -> None:
    """Raises InputError if a criterion or regrowth needs gradients, and there is no loss."""
    criterion, regrowth = pruner.criterion, pruner.regrowth
    name = type(criterion).__name__
    if loss is None and "gradient_scores" in criterion.needs:
        raise InputError(
            f"pruner.criterion={name}: needs gradients; allowed is loss=, a function of a copy of "
            "the module and a batch, or another criterion"
        )
    if loss is None and regrowth is not None and regrowth.grow == "gradient":
        raise InputError(
            "pruner.regrowth.grow=gradient: needs gradients; allowed is loss=, a function of a "
            "copy of the module and a batch, or grow=random"
        )


def check_metric(trainer: Trainer, metric: str | None) -> None:
    """Raises InputError if a metric of validation is named, and there is no validation."""
    if metric is not None and not trainer.enable_validation:
        raise InputError(
            f"metric={metric}: there is no validation that would log it; allowed are a "
            "val_dataloader and a validation_step, or no metric"
        )


def check_first_event(plan: Plan, position: int, state_key: str) -> None:
    """Raises InputError if a training goes on behind events that no checkpoint tells of."""
    past = [event for event in plan.events if event.position < position]
    if past:
        raise InputError(
            f"schedule: its event at {plan.unit} {past[0].position} is over, since the training "
            f"goes on at {plan.unit} {position} from a checkpoint without masks of {state_key}; "
            f"allowed are a checkpoint that has them, or a schedule with start={position}"
        )


def check_overlap(callbacks: Iterable[Callback]) -> None:
    """Raises InputError if two callbacks prune the same weight."""
    seen: dict[int, str] = {}
    for callback in callbacks:
        sparsifier = getattr(callback, "sparsifier", None)
        for name, weight in sparsifier.weights.items() if sparsifier else ():
            if id(weight) in seen:
                raise InputError(
                    f"callbacks: two of them prune {name} ({seen[id(weight)]}, "
                    f"{callback.state_key}); allowed are callbacks whose targets differ"
                )
            seen[id(weight)] = callback.state_key
