"""The lines below a run's plan: what is left dense, given, shared among processes, set apart."""

from collections.abc import Sequence
from dataclasses import fields

from lightprune.experiment.config import Settings
from lightprune.experiment.preflight import CheckedRun
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.schedules import is_cut_to_one_event
from lightprune.rendering.number_format import counted

# The largest share of the weights it began with that an average may keep without a note.
_MOST_OF_FIRST = 0.1


def plan_notes(checked: CheckedRun) -> list[str]:
    """What a user should know of a run beside its events, a line each."""
    settings = checked.settings
    return [
        *_events(settings),
        *_unknown(checked),
        *_left_dense(checked),
        *_given_weights(checked),
        *_given_zeros(checked),
        *_batches(settings),
        *_pruner_settings(settings.pruner),
        *_after_events(settings),
        *_slow_averages(checked),
    ]


def _given_weights(checked: CheckedRun) -> list[str]:
    given = checked.pretrained
    if given is None:
        return []
    then = "" if checked.settings.trains_dense else ", and are not trained before the first event"
    groups = {
        f"drawn anew, not taken from {given.file.path.name}{then}": given.fresh,
        f"in {given.file.path.name} beside the network, and not read": given.outside,
    }
    return [f"{what}: {_names(names)}" for what, names in groups.items() if names]


def _given_zeros(checked: CheckedRun) -> list[str]:
    cost, events = checked.cost.total, checked.settings.plan.events
    given = cost.weights - cost.nnz
    if checked.masks is not None:
        pruned, pruner = checked.masks.pruned, checked.settings.pruner
        until = ", until regrowth exchanges some" if pruner and pruner.regrowth else ""
        return [
            f"{pruned:,} prunable weights ({checked.masks.sparsity:.2%}) are given as zero; "
            f"dense.keep_zeros holds all of them{until}"
        ]
    if not (checked.pretrained and given):
        return []
    held = min(given, checked.zeros[0]) if events and events[0].epoch == 0 else 0
    if held:
        number = "all" if held == given else f"{held:,}"
        first = f"the first event, if it ranks by magnitude, holds {number} of them"
    elif events:
        first = f"no event before epoch {events[0].epoch + 1} holds them"
    else:
        first = "no event holds them"
    # Not all of them: a weight that no input reaches has no gradient.
    free = f"; up to {given - held:,} train to other values" if held < given else ""
    return [f"{given:,} prunable weights ({cost.sparsity:.2%}) are given as zero; {first}{free}"]


def _events(settings: Settings) -> list[str]:
    """Tells of a schedule that may end early, or of a gradual one that is none."""
    if (drop := settings.plan.drop) is not None:
        asked, last = settings.schedule and settings.schedule.sparsity, settings.plan.events[-1]
        short = (
            f"; schedule.sparsity={asked:g} would take more epochs than recipe.finetune.epochs="
            f"{settings.plan.epochs}"
        )
        return [
            f"the longest course: pruning ends before it where the validation accuracy recovers to "
            f"less than {drop:g} pp below that before the first event; the last state before that "
            f"is the result{short if asked and last.sparsity < asked else ''}"
        ]
    if settings.schedule is None or not is_cut_to_one_event(settings.schedule, settings.plan):
        return []
    return [
        f"one event, which prunes all at once: that is what {type(settings.schedule).__name__} has "
        f"room for in recipe.finetune.epochs={settings.plan.epochs}; schedule.every_n_steps=N has "
        "events within an epoch"
    ]


def _unknown(checked: CheckedRun) -> list[str]:
    layers = checked.cost.layers
    groups = {
        "MACs unknown (the network reads these weights neither in a layer of torch.nn nor as a "
        "factor of a matrix product or convolution)": [
            n for n, c in layers.items() if c.macs is None
        ],
        "not reached by an image in evaluation mode": [n for n, c in layers.items() if not c.live],
    }
    return [f"{what}: {_names(names)}" for what, names in groups.items() if names]


def _left_dense(checked: CheckedRun) -> list[str]:
    lines = []
    if groups := checked.left_dense:
        weights, layers = sum(g.weights for g in groups), sum(len(g.layers) for g in groups)
        reasons = "; ".join(f"{g.reason}: {_names(g.layers)}" for g in groups)
        lines.append(f"left dense: {weights:,} weights of {counted(layers, 'layer')} ({reasons})")
    if missing := checked.missing_types:
        lines.append(f"the network has no {' and no '.join(missing)}")
    return lines


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _batches(settings: Settings) -> list[str]:
    """Explains batch size and learning rate where a step is not one batch of one process."""
    trainer = settings.trainer_config
    processes, batches = trainer.processes, trainer.accumulate_grad_batches
    if processes == batches == 1:
        return []
    phases = {"dense": settings.recipe.dense, "fine-tune": settings.recipe.finetune}
    same = phases["dense"].batch_size == phases["fine-tune"].batch_size
    if same or not settings.trains_dense:
        phases = {"": settings.recipe.finetune}
    lines = []
    for name, phase in phases.items():
        size, start = phase.batch_size, f"{name}: " if name else ""
        if processes > 1:
            start += f"batch {size} = {processes} processes x {size // processes}; "
        if batches > 1:
            start += f"step {size * batches} = {batches} batches x {size}; "
        whole = "step" if batches > 1 else "batch"
        share = counted(size // processes, "image")
        share += " of its process" if processes > 1 else ""
        lines.append(f"{start}learning rates are for a whole {whole}; batch norm sees the {share}")
    return lines


def _after_events(settings: Settings) -> list[str]:
    lines = []
    if settings.rewind_epoch is not None:
        lines.append(
            "every event rewinds the weights to those after "
            f"{counted(settings.rewind_epoch, 'dense epoch')}"
        )
    if count := settings.recipe.finetune.recalibrate:
        lines.append(f"every event recalibrates batch norms on {counted(count, 'training batch')}")
    return lines


def _slow_averages(checked: CheckedRun) -> list[str]:
    """Tells of averages that consist of the weights they began with, since the steps are few."""
    settings, setup = checked.settings, checked.setup
    dense, finetune, plan = settings.recipe.dense, settings.recipe.finetune, settings.plan
    after = plan.length - (plan.events[-1].position if plan.events else 0)
    steps = {"finetune": after * (setup.steps_per_epoch(finetune) if plan.steps is None else 1)}
    if settings.trains_dense:
        steps["dense"] = dense.epochs * setup.steps_per_epoch(dense)
    lines = []
    for name, phase in {"dense": dense, "finetune": finetune}.items():
        if not phase.ema_decay or not steps.get(name):
            continue
        # The first of the steps is what the average begins with.
        share = phase.ema_decay ** (steps[name] - 1)
        if share > _MOST_OF_FIRST:
            start = "the last event" if name == "finetune" and plan.events else "the start"
            lines.append(
                f"recipe.{name}.ema_decay={phase.ema_decay:g}: {share:.0%} of the average at the "
                f"end are still the weights right after {start}, {counted(steps[name], 'step')} "
                "before"
            )
    return lines


def _pruner_settings(pruner: Pruner | None) -> list[str]:
    if pruner is None:
        return []
    values = {field.name: getattr(pruner, field.name) for field in fields(pruner)}
    defaults = vars(Pruner(pruner.criterion, pruner.scope, seed=pruner.seed))
    changed = [f"{name}={value}" for name, value in values.items() if value != defaults[name]]
    return [f"pruner: {', '.join(changed)}"] if changed else []
