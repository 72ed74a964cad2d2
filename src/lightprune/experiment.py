"""The story of a run: plan, dense network, prune and fine-tune, test, run folder."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from platform import processor, python_version

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from lightprune import console
from lightprune.config import Settings, differences, register, settings
from lightprune.dense import DenseRecord, barrier, dense_key, dense_network, first_process
from lightprune.errors import InputError
from lightprune.files import write_text, write_weights
from lightprune.pruning.cost import CostReport, cost_report
from lightprune.run_folder import Json, RunFolder
from lightprune.training.classifier import Evaluation
from lightprune.training.fit import Lab, Trained, fit, test


@dataclass(frozen=True)
class Prepared:
    """A run whose every input has been checked.

    Attributes:
        settings: What was asked.
        lab: Data, model and hardware.
        fingerprint: Of the data.
        weights: The shapes of the prunable weights, by name.
        zeros: How many of them are zero after each event.
    """

    settings: Settings
    lab: Lab
    fingerprint: str
    weights: Mapping[str, Tensor]
    zeros: tuple[int, ...]

    @property
    def dense_key(self) -> str:
        """What the dense network depends on."""
        asked = self.settings.asked
        parts = {name: asked[name] for name in ("model", "data", "seed", "trainer")}
        recipe = asked["recipe"]["dense"]
        return dense_key({**parts, "recipe": recipe, "fingerprint": self.fingerprint})


def prepare(chosen: Settings) -> Prepared:
    """Loads the data, builds the network once, and checks all that can be checked before training.

    Raises:
        InputError: The data, the network, the plan and the recipe do not fit together.
    """
    data, fingerprint = chosen.source.load()
    lab = Lab(
        model=chosen.model,
        data=data,
        source=chosen.source,
        targets=chosen.targets,
        hardware=chosen.hardware,
        seed=chosen.seed,
        loggers=chosen.loggers,
    )
    train, _ = chosen.source.splits(data)
    for name, phase in (("dense", chosen.recipe.dense), ("finetune", chosen.recipe.finetune)):
        if phase.batch_size > len(train):
            raise InputError(
                f"recipe.{name}.batch_size={phase.batch_size}: allowed are at most the "
                f"{len(train)} training images"
            )
    network = lab.new_network()
    weights = {name: w.detach() for name, w in chosen.targets.find(network).items()}
    zeros = []
    for event in chosen.plan.events:
        assert chosen.pruner is not None
        quotas = chosen.pruner.quotas(weights, event.sparsity, final=chosen.plan.final)
        zeros.append(sum(count for _, count in quotas))
    return Prepared(chosen, lab, fingerprint, weights, tuple(zeros))


def run(chosen: Settings, path: Path) -> float | None:
    """Runs an experiment, continues it, or shows its finished result.

    Args:
        chosen: What is asked.
        path: The run folder.

    Returns:
        The test accuracy, 0..1; None for `plan_only`.

    Raises:
        InputError: An input is wrong, or the folder holds another run.
    """
    folder = RunFolder(path)
    finished = claim(chosen, folder)
    if finished is not None:
        console.show_result(finished, path)
        return float(finished["test"]["accuracy"])
    prepared = prepare(chosen)
    console.show_plan(chosen, prepared.weights, prepared.zeros, prepared.lab)
    if chosen.plan_only:
        return None
    if first_process():
        open_folder(chosen, folder)
    lab, checkpoint = prepared.lab, chosen.dense.checkpoint
    dense_state, dense = dense_network(
        lab,
        chosen.recipe.dense,
        Path(chosen.dense.cache_dir),
        prepared.dense_key,
        Path(checkpoint) if checkpoint else None,
    )
    network = lab.new_network()
    network.load_state_dict(dense_state)
    trained = fit(
        lab,
        network,
        chosen.recipe.finetune,
        folder.path,
        name="finetune",
        plan=chosen.plan,
        pruner=chosen.pruner,
        dense=chosen.recipe.dense,
    )
    final = lab.new_network()
    final.load_state_dict(trained.state)
    tested = test(lab, final, chosen.recipe.finetune)
    if first_process():
        cost = _cost(lab, final)
        write_weights(folder.model_file, trained.state)
        folder.write_layers(cost)
        folder.complete(_record(prepared, dense, trained, tested, cost, folder))
        finished = folder.record()
        assert finished is not None
        console.show_result(finished, path)
    barrier()
    return tested.accuracy


def claim(chosen: Settings, folder: RunFolder) -> Json | None:
    """Checks that a folder is free for this run: empty, or this very run's.

    Returns:
        The record, if the run is complete.

    Raises:
        InputError: The folder holds another run.
    """
    if chosen.force or not folder.config_file.exists():
        return None
    theirs = OmegaConf.to_container(OmegaConf.load(folder.config_file))
    for key, there, here in differences(theirs, chosen.asked):
        raise InputError(
            f"{folder.path}: holds a run with {key}={there}, this one has {here}; allowed is the "
            "same run (force=true starts afresh, name= or hydra.run.dir= goes elsewhere)"
        )
    return folder.record()


def open_folder(chosen: Settings, folder: RunFolder) -> None:
    """Makes the folder this run's, keeping what it has saved so far."""
    if chosen.force:
        folder.clear()
    write_text(folder.config_file, OmegaConf.to_yaml(OmegaConf.create(chosen.asked)))


def _cost(lab: Lab, network: nn.Module) -> CostReport:
    weights = {name: w.detach() for name, w in lab.targets.find(network).items()}
    return cost_report(network, weights, lab.example[:1])


def _record(
    prepared: Prepared,
    dense: DenseRecord,
    trained: Trained,
    tested: Evaluation,
    cost: CostReport,
    folder: RunFolder,
) -> Json:
    """Everything a reader may want to know of a finished run."""
    chosen, lab = prepared.settings, prepared.lab
    train, validation = chosen.source.splits(lab.data)
    return {
        "config": chosen.asked,
        "config_hash": chosen.digest,
        "command": sys.argv,
        "commit": _commit(),
        "versions": _versions(),
        "hardware": _hardware(lab),
        "data": {
            "source": type(chosen.source).__name__,
            "fingerprint": prepared.fingerprint,
            "classes": list(lab.data.classes),
            "train_images": len(train),
            "validation_images": len(validation),
            "validation_is_test": isinstance(chosen.source.validation, str),
            "test_images": len(lab.data.test),
        },
        "dense": {**asdict(dense), "test_accuracy": dense.test_accuracy},
        "events": [record.dump() for record in trained.records],
        "chosen_epoch": trained.epoch,
        "validation_accuracy": trained.validation,
        "test": {
            "accuracy": tested.accuracy,
            "correct": tested.correct,
            "images": tested.images,
            "loss": tested.loss,
            "classes": [asdict(score) for score in tested.classes],
        },
        "cost": {
            **asdict(cost.total),
            "parameters": cost.parameters,
            "sparsity": cost.total.sparsity,
            "live_sparsity": cost.total.live_sparsity,
            "mac_density": cost.total.mac_density,
            "compression_prunable": cost.compression_prunable,
            "compression_parameters": cost.compression_parameters,
        },
        "sizes": {"model.safetensors": folder.model_file.stat().st_size},
        "seconds": {"dense": dense.seconds, "finetune": trained.seconds},
    }


def _commit() -> str:
    """The checkout's commit, with `-dirty` if it was changed; `unknown` outside of one."""
    here = Path(__file__).parent
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


def _versions() -> dict[str, str]:
    names = ("lightprune", "torch", "torchvision", "lightning", "torchmetrics", "hydra-core")
    return {"python": python_version(), **{name: version(name) for name in names}}


def _hardware(lab: Lab) -> Json:
    gpu = torch.cuda.get_device_name() if lab.hardware.on_gpu else None
    return {
        "device": gpu or processor() or "cpu",
        "processes": lab.hardware.processes,
        "threads": torch.get_num_threads(),
        "precision": lab.hardware.precision,
    }


def main(config: Path, folder: Path) -> None:
    """One process of several, started by torchrun on a saved config."""
    register()
    loaded = OmegaConf.load(config)
    assert isinstance(loaded, DictConfig)
    chosen = settings(loaded)
    # Rank 0 may wait for hours for another job's dense training; a dead rank ends all anyway.
    torch.distributed.init_process_group(
        "nccl" if chosen.hardware.on_gpu else "gloo", timeout=timedelta(days=1)
    )
    run(chosen, folder)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
