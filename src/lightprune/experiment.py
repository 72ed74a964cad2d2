"""The story of a run: plan, dense network, prune and fine-tune, test, run folder."""

import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from lightprune import console
from lightprune.cache import digest
from lightprune.config import Settings, register, settings
from lightprune.dense import dense_network
from lightprune.errors import InputError
from lightprune.files import check_room, write_text, write_weights
from lightprune.identity import differences
from lightprune.predictions import write_predictions
from lightprune.prepare import Prepared, prepare
from lightprune.record import full_record, measure
from lightprune.rewinding import early_state
from lightprune.run_folder import Json, RunFolder
from lightprune.stopping import end_with_starter
from lightprune.training.fit import fit, test
from lightprune.training.hardware import Hardware
from lightprune.training.ranks import barrier, decided, first_process
from lightprune.worker import worker


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
    prepared = prepare(chosen)
    if chosen.plan_only:
        console.show_plan(prepared)
        return None
    finished = decided(lambda: claim(prepared, folder))
    if finished is None:
        with folder.writing() if first_process() else nullcontext():
            # Another process may have finished it between the two looks.
            finished = decided(lambda: claim(prepared, folder))
            if finished is None:
                console.show_plan(prepared)
                if first_process():
                    open_folder(prepared, folder)
                return _carry_out(prepared, folder)
    if first_process():
        console.show_result(finished, path)
    return float(finished["test"]["accuracy"])


def _carry_out(prepared: Prepared, folder: RunFolder) -> float:
    """Dense, prune + fine-tune, test, record."""
    chosen = prepared.settings
    lab, checkpoint = prepared.lab, chosen.dense.checkpoint
    back_to = chosen.rewinds_to
    training = (
        lab,
        chosen.recipe.dense,
        Path(chosen.dense.cache_dir),
        prepared.dense_identity,
    )
    dense_state, dense = dense_network(
        *training,
        Path(checkpoint) if checkpoint else None,
        snapshots=[back_to] if back_to else [],
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
        early=None if back_to is None else early_state(*training, back_to),
        belongs_to=prepared.identity,
    )
    final = lab.new_network()
    final.load_state_dict(trained.state)
    tested = test(lab, final, chosen.recipe.finetune)
    if first_process():
        cost = measure(lab, final)
        write_weights(folder.model_file, trained.state)
        folder.write_layers(cost)
        write_predictions(folder.predictions_file, lab.data.test.labels.tolist(), tested.predicted)
        folder.complete(full_record(prepared, dense, trained, tested, cost, folder))
        finished = folder.record()
        assert finished is not None
        console.show_result(finished, folder.path)
    barrier()
    return tested.accuracy


def claim(prepared: Prepared, folder: RunFolder) -> Json | None:
    """Checks that a folder is free for this run: empty, or this very run's, and with room.

    Returns:
        The record, if the run is complete.

    Raises:
        InputError: The folder holds another run, or the disk is too full for this one.
    """
    folder.check_free()
    if not prepared.settings.force and folder.config_file.exists():
        theirs = OmegaConf.to_container(OmegaConf.load(folder.config_file))
        for key, there, here in differences(theirs, prepared.identity):
            raise InputError(
                f"{folder.path}: holds a run with {key}={there}, this one has {here}; allowed is "
                "the same run (force=true starts afresh, name= or hydra.run.dir= goes elsewhere)"
            )
        if (finished := folder.record()) is not None:
            return finished
    places = [folder.checkpoints]
    if not prepared.settings.dense.checkpoint:
        cached = Path(prepared.settings.dense.cache_dir, digest(prepared.dense_identity))
        if not (cached / "dense.json").exists():
            places.append(cached / "checkpoints")
    # The last one, the one before it, and the one being written; some may be there already.
    there = {place: sum(f.stat().st_size for f in place.glob("*.ckpt")) for place in places}
    check_room({place: 3 * prepared.checkpoint_bytes - there[place] for place in places})
    return None


def open_folder(prepared: Prepared, folder: RunFolder) -> None:
    """Makes the folder this run's, keeping what it has saved so far."""
    if prepared.settings.force:
        folder.clear()
    write_text(folder.config_file, OmegaConf.to_yaml(OmegaConf.create(prepared.identity)))


def main(arguments: Sequence[str]) -> None:
    """One process of several, started by torchrun on a saved config.

    Raises:
        InputError: An input is wrong.
    """
    end_with_starter()
    register()
    if len(arguments) != 2 or not Path(arguments[0]).is_file():
        raise InputError(
            f"arguments={shlex.join(arguments)}: allowed are the file that "
            "python train.py ... --cfg job --resolve wrote, and a run folder"
        )
    loaded = OmegaConf.load(arguments[0])
    assert isinstance(loaded, DictConfig)
    chosen = settings(loaded)
    _join(chosen.hardware)
    run(chosen, Path(arguments[1]))
    torch.distributed.destroy_process_group()


def _join(hardware: Hardware) -> None:
    """Meets the other processes of this run.

    Raises:
        InputError: They are not as many as the config says.
    """
    started = int(os.environ.get("WORLD_SIZE", 0))
    if started != hardware.processes:
        raise InputError(
            f"trainer.num_nodes={hardware.num_nodes} trainer.devices={hardware.devices}: torchrun "
            f"started {started} processes; allowed is torchrun --nnodes={hardware.num_nodes} "
            f"--nproc-per-node={hardware.devices}"
        )
    if hardware.on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # Rank 0 may wait for hours for another job's dense training; a dead rank ends all anyway.
    torch.distributed.init_process_group(
        "nccl" if hardware.on_gpu else "gloo", timeout=timedelta(days=1)
    )


if __name__ == "__main__":
    worker(lambda: main(sys.argv[1:]))
