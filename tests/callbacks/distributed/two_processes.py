"""What two real processes do together, and what each of them saw."""

import hashlib
from dataclasses import dataclass, replace

import torch
from lightning import Callback
from torch import distributed, nn

from lightprune.pruning.criteria import (
    Criterion,
    Lamp,
    MagnitudePerMac,
    Movement,
    Random,
    Snip,
    Synflow,
    Taylor,
)
from lightprune.pruning.event_record import PruningError
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.regrowth import Regrowth
from lightprune.pruning.sync import broadcast_masks, check_same_weights
from lightprune.training.fit import PhaseRun, evaluate_test_set, fit
from lightprune.training.recipe import Distillation
from tests.callbacks.distributed.processes import in_two_processes
from tests.training.small import phase, plan, small_setup


@dataclass(frozen=True)
class OfThisProcess(Criterion):
    """Random scores that differ from process to process and from call to call."""

    def scores(self, weights, context):
        return {name: torch.rand(weight.shape) for name, weight in weights.items()}


# Digests of the scores that the criteria below computed in this process.
DIGESTS = []


def note(values):
    DIGESTS.append(hashlib.sha256(values.contiguous().numpy().tobytes()).hexdigest())


class NotedTaylor(Taylor):
    """Taylor, whose scores are noted."""

    def scores(self, weights, context):
        scores = super().scores(weights, context)
        for values in scores.values():
            note(values)
        return scores


class NotedMovement(Movement):
    """Movement, whose sums are noted."""

    def scores(self, weights, context):
        for name in weights:
            note(context.accumulated[name])
        return super().scores(weights, context)


SCORED_BY_NETWORK = {
    "taylor": Pruner(NotedTaylor(batches=2), regrowth=Regrowth()),
    "movement": Pruner(NotedMovement()),
}


# By the weights and seeds alone, so that any number of processes prunes alike.
BY_WEIGHTS = {
    "magnitude": Pruner(),
    "lamp": Pruner(Lamp()),
    "random, regrown at random": Pruner(Random(), regrowth=Regrowth(grow="random")),
    "synflow, re-initialised": Pruner(Synflow(rounds=3), weights="reinitialise"),
    "per MAC": Pruner(MagnitudePerMac()),
    "uniform+, shuffled": Pruner(scope="uniform_plus", weights="shuffle"),
    "local": Pruner(scope="local"),
    "2:4": Pruner(pattern="2:4"),
    "rewound": Pruner(weights="rewind"),
}
BY_GRADIENT = {
    "snip": Pruner(Snip()),
    "RigL": Pruner(scope="erk", regrowth=Regrowth()),
}


def run(folder):
    """Starts both processes and returns what rank 0 and rank 1 saw."""
    return in_two_processes(folder, _seen)


def _seen(rank, folder):
    torch.manual_seed(rank)
    seen = {**_agree(), **_drift(folder), **_train(folder), **_ask(folder)}
    return {**seen, "methods": methods(folder, 2, {**BY_WEIGHTS, **BY_GRADIENT})}


def _agree():
    weights = {"a": torch.zeros(50, 7), "b": torch.zeros(9)}
    mine = Pruner(OfThisProcess()).prune(weights, Masks.dense(weights), 0.5)
    together = broadcast_masks(mine, weights)
    refusals = {
        name: _refusal(lambda case=case: check_same_weights(case))
        for name, case in _weights_of(distributed.get_rank()).items()
    }
    return {"mine": mine.digest(), "agreed": together.digest(), "refusals": refusals}


def _weights_of(rank):
    """Weights of which some differ between the ranks."""
    same = {"a": torch.arange(24.0).reshape(2, 3, 2, 2), "b": torch.tensor([0.0, torch.nan])}
    layout = torch.channels_last if rank else torch.contiguous_format
    return {
        "same": same,
        "same in another layout": {**same, "a": same["a"].to(memory_format=layout)},
        "last bit": {**same, "a": same["a"] if rank else same["a"].nextafter(torch.tensor(99.0))},
        "sign of zero": {**same, "b": same["b"] * (1 - 2 * rank)},
        "bfloat16": {"a": torch.full((3,), 1.0 + rank / 128, dtype=torch.bfloat16)},
        "all": {name: weight + rank + 1 for name, weight in same.items()} | {"b": torch.ones(rank)},
    }


class Drift(Callback):
    """Trains one layer's weights differently on rank 1."""

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.global_rank == 1:
            pl_module.network[4].weight.data.mul_(1.0001)


def _drift(folder):
    bench = small_setup(Drift(), devices=2)
    run = PhaseRun("finetune", phase(3), plan((0, 0.5), (2, 0.8), epochs=3), pruner=Pruner())
    return {"drifted": _refusal(lambda: fit(bench, bench.new_network(), run, folder / "drift"))}


def _refusal(action):
    try:
        action()
    except PruningError as error:
        return str(error)
    return ""


def _train(folder):
    setup = small_setup(devices=2)
    trained = fit(
        setup,
        setup.new_network(),
        PhaseRun(
            "finetune",
            phase(2, ema_decay=0.9),
            plan((0, 0.5), (1, 0.8), epochs=2),
            pruner=Pruner(OfThisProcess()),
        ),
        folder / "fit",
    )
    network = setup.new_network()
    network.load_state_dict(trained.state)
    tested = evaluate_test_set(setup, network, phase(2))
    return {
        "state": trained.state,
        "records": [record.dump() for record in trained.records],
        "validation": trained.validation,
        "images": tested.images,
        "correct": tested.correct,
        "predicted": tested.predicted,
    }


def _ask(folder):
    """Trainings by criteria that score by the network, in each process for itself."""
    seen = {}
    for name, pruner in SCORED_BY_NETWORK.items():
        DIGESTS.clear()
        setup = small_setup(devices=2)
        trained = fit(
            setup,
            setup.new_network(),
            PhaseRun(
                "finetune",
                phase(3, recalibrate=1),
                plan((1, 0.5), (2, 0.8), epochs=3),
                pruner=pruner,
            ),
            folder / name,
        )
        records = [record.dump() for record in trained.records]
        seen[name] = {"digests": list(DIGESTS), "records": records, "state": trained.state}
    return seen


def methods(folder, processes, pruners):
    """Trainings whose steps are the same for any number of processes: no batch norm.

    A teacher takes part in all of them, and in one there is no validation.
    """
    taught, ended = Distillation(weight=0.5), {}
    for name, pruner in pruners.items():
        validation = "none" if name == "lamp" else 40
        setup = small_setup(devices=processes, network=without_batch_norm, validation=validation)
        network = setup.new_network()
        sparsity = 0.5 if pruner.pattern else 0.7
        trained = fit(
            setup,
            network,
            PhaseRun(
                "finetune",
                phase(3, distillation=taught),
                plan((0, 0.4), (1, sparsity), epochs=3),
                pruner=pruner,
                teacher=replace(setup, seed=1).new_network(),
                rewind_weights={
                    name: value.clone() for name, value in network.state_dict().items()
                },
            ),
            folder / f"{name}-{processes}",
        )
        records = [record.dump() for record in trained.records]
        ended[name] = {
            "records": records,
            "state": trained.state,
            "validation": trained.validation,
        }
    return ended


def without_batch_norm(num_classes=4):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128, num_classes),
    )
