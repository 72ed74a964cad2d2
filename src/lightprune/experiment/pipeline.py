"""The story of a run: plan, dense network, prune and fine-tune, test, run folder."""

from contextlib import nullcontext
from pathlib import Path

from omegaconf import OmegaConf

from lightprune.distributed import barrier, from_rank_zero, is_rank_zero
from lightprune.errors import InputError
from lightprune.experiment import console
from lightprune.experiment.config import Settings
from lightprune.experiment.dense import dense_network
from lightprune.experiment.dense_cache import digest
from lightprune.experiment.preflight import CheckedRun, preflight
from lightprune.experiment.rewinding import rewind_state
from lightprune.experiment.run_record import full_record, measure
from lightprune.files import check_room, write_text, write_weights
from lightprune.runs.folder import Json, RunFolder
from lightprune.runs.identity import diff_configs
from lightprune.runs.predictions import write_predictions
from lightprune.training.fit import PhaseRun, evaluate_test_set, fit


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
    prepared = preflight(chosen)
    if chosen.plan_only:
        console.show_plan(prepared)
        return None
    finished = from_rank_zero(lambda: check_run_folder(prepared, folder))
    if finished is None:
        with folder.writing() if is_rank_zero() else nullcontext():
            # Another process may have finished it between the two looks.
            finished = from_rank_zero(lambda: check_run_folder(prepared, folder))
            if finished is None:
                console.show_plan(prepared)
                if is_rank_zero():
                    open_folder(prepared, folder)
                return _train_prune_test(prepared, folder)
    if is_rank_zero():
        console.show_result(finished, path)
    return float(finished["test"]["accuracy"])


def _train_prune_test(prepared: CheckedRun, folder: RunFolder) -> float:
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
    finetuning = PhaseRun(
        "finetune",
        chosen.recipe.finetune,
        chosen.plan,
        pruner=chosen.pruner,
        dense=chosen.recipe.dense,
        rewind_weights=None if back_to is None else rewind_state(*training, back_to),
        identity=prepared.identity,
    )
    trained = fit(lab, lab.network_from(dense_state), finetuning, folder.path)
    final = lab.network_from(trained.state)
    tested = evaluate_test_set(lab, final, chosen.recipe.finetune)
    if is_rank_zero():
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


def check_run_folder(prepared: CheckedRun, folder: RunFolder) -> Json | None:
    """Checks that a folder is free for this run: empty, or this very run's, and with room.

    Returns:
        The record, if the run is complete.

    Raises:
        InputError: The folder holds another run, or the disk is too full for this one.
    """
    folder.check_free()
    if not prepared.settings.force and folder.config_file.exists():
        theirs = OmegaConf.to_container(OmegaConf.load(folder.config_file))
        for key, there, here in diff_configs(theirs, prepared.identity):
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


def open_folder(prepared: CheckedRun, folder: RunFolder) -> None:
    """Makes the folder this run's, keeping what it has saved so far."""
    if prepared.settings.force:
        folder.clear()
    write_text(folder.config_file, OmegaConf.to_yaml(OmegaConf.create(prepared.identity)))
