"""One run, top to bottom: preflight, dense network, prune and fine-tune, test, record."""

import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

from omegaconf import OmegaConf
from torch import Tensor

from lightprune.distributed import from_rank_zero, is_rank_zero
from lightprune.errors import InputError
from lightprune.experiment.config import Settings
from lightprune.experiment.config_objects import build_callbacks
from lightprune.experiment.console.show_plan import show_plan
from lightprune.experiment.console.show_result import show_finished, show_result
from lightprune.experiment.dense_cache import check_dense_files
from lightprune.experiment.dense_network import dense_network
from lightprune.experiment.preflight import CheckedRun, preflight
from lightprune.experiment.renamed_settings import RENAMED_KEYS, find_renamed_key
from lightprune.experiment.rewinding import rewind_state
from lightprune.experiment.run_record import full_record, measure_cost
from lightprune.files import check_readable, check_room, write_text, write_weights
from lightprune.runs.find_folder import mark_last
from lightprune.runs.folder import RunFolder
from lightprune.runs.identity import diff_configs
from lightprune.runs.predictions import write_predictions
from lightprune.runs.record import RunRecord
from lightprune.training.fit import PhaseRun, evaluate_test_set, fit
from lightprune.training.run_loggers import TrackedRun, continued, log_test_result, open_loggers


def run_pipeline(
    settings: Settings, path: Path, *, start_checked: bool = False, sweep_job: int | None = None
) -> float | None:
    """Runs an experiment in the run folder `path`, continues it, or shows its finished result.

    `start_checked`: the process that started this one has called `check_start`. `sweep_job` is the
    number of the job, of a sweep, which prints the plan once and its results in one table.

    Returns:
        The validation accuracy of the network that was tested, 0..1; None without validation, 0
        for `plan_only`.

    Raises:
        InputError: An input is wrong, or the folder holds another run.
    """
    checked = preflight(settings)
    if settings.plan_only:
        show_plan(checked, path, checked.check_training().image_seconds, sweep_job)
        return 0.0
    folder = RunFolder(path)
    record = from_rank_zero(lambda: check_run_folder(checked, folder))
    show = show_finished
    if record is None:
        show = show_result
        image_seconds: Mapping[str, float] = {}
        if is_rank_zero() and not start_checked:
            image_seconds = check_start(checked, folder)
        with folder.writing() if is_rank_zero() else nullcontext():
            # Another process may have finished the run before this one took the lock.
            record = from_rank_zero(lambda: check_run_folder(checked, folder))
            if record is None:
                show_plan(checked, path, image_seconds, sweep_job)
                if is_rank_zero():
                    _open_run_folder(checked, folder)
                _train_prune_test(checked, folder, in_sweep=sweep_job is not None)
                record = from_rank_zero(folder.record)
        assert record is not None
    if is_rank_zero():
        mark_last(path)
    show(record, path, sweep_job)
    return record.validation_accuracy


def _train_prune_test(checked: CheckedRun, folder: RunFolder, *, in_sweep: bool) -> None:
    settings, setup, recipe = checked.settings, checked.setup, checked.settings.recipe
    group = folder.path.absolute().parent.name if in_sweep else None
    tracked = TrackedRun(folder.path, from_rank_zero(folder.tracker_id), group)
    with open_loggers(settings.loggers, tracked, checked.identity) as loggers:
        dense_epochs = recipe.dense.epochs if settings.trains_dense else 0
        dense_steps = dense_epochs * setup.steps_per_epoch(recipe.dense)
        # A fine-tuning that goes on has told of its dense network.
        dense_loggers = () if any(folder.checkpoints.glob("*.ckpt")) else loggers
        dense_state, dense_record = dense_network(
            checked.dense,
            snapshots=[settings.rewind_epoch] if settings.rewind_epoch else [],
            loggers=dense_loggers,
        )
        log_test_result(dense_loggers, dense_steps, accuracy=dense_record.test_accuracy)
        with continued(loggers, dense_steps, dense_epochs):
            finetuning = _finetuning(checked, dense_state)
            start = setup.network_from(dense_state)
            finetuned = fit(setup, start, finetuning, folder.path, loggers)
            network = setup.network_from(finetuned.state)
            test = evaluate_test_set(setup, network, recipe.finetune)
            log_test_result(loggers, finetuned.steps, accuracy=test.accuracy, loss=test.loss)

    if is_rank_zero():
        cost = measure_cost(setup, network)
        write_weights(folder.model_file, finetuned.state)
        folder.write_layers(cost)
        write_predictions(folder.predictions_file, setup.data.test.labels.tolist(), test.predicted)
        folder.complete(full_record(checked, dense_record, finetuned, test, cost, folder))


def _finetuning(checked: CheckedRun, dense_state: Mapping[str, Tensor]) -> PhaseRun:
    settings, recipe = checked.settings, checked.settings.recipe
    epoch, taught = settings.rewind_epoch, recipe.finetune.distillation.weight
    return PhaseRun(
        "finetune",
        recipe.finetune,
        settings.plan,
        pruner=settings.pruner,
        masks=checked.masks,
        dense=recipe.dense,
        teacher=checked.setup.network_from(dense_state) if taught else None,
        rewind_weights=None if epoch is None else rewind_state(checked.dense, epoch),
        save_every_n_steps=settings.schedule.every_n_steps if settings.schedule else None,
        callbacks=build_callbacks(settings.callbacks),
        identity=checked.identity,
    )


def check_run_folder(checked: CheckedRun, folder: RunFolder) -> RunRecord | None:
    """Checks that a run folder is free for this run, or holds this very run.

    Returns:
        The record, if the run is complete.

    Raises:
        InputError: The folder holds another run, or a file that it continues from may not be read.
    """
    folder.check_free()
    for file in (folder.config_file, *folder.checkpoints.glob("*.ckpt")):
        check_readable(file)
    if not checked.settings.force and folder.config_file.exists():
        _check_same_run(checked, folder)
        try:
            return folder.record()
        except InputError as error:
            raise InputError(f"{error} (force=true starts afresh)") from error
    return None


def check_start(checked: CheckedRun, folder: RunFolder) -> Mapping[str, float]:
    """Checks that an unfinished run trains, and that the disk has room for its checkpoints.

    Returns:
        `TrainingCheck.image_seconds`.

    Raises:
        InputError: A training step fails, or the disk is too full.
    """
    training = checked.check_training()
    checkpoints = [folder.checkpoints]
    if checked.dense_folder is not None:
        for dense in filter(None, (checked.dense, checked.dense.teacher)):
            check_dense_files(dense.folder)
            if not dense.is_complete:
                checkpoints.append(dense.folder / "checkpoints")
    # The last one, the one before it, and the one being written; some may exist already.
    sizes = {place: sum(f.stat().st_size for f in place.glob("*.ckpt")) for place in checkpoints}
    check_room({place: 3 * training.checkpoint_bytes - size for place, size in sizes.items()})
    return training.image_seconds


def _check_same_run(checked: CheckedRun, folder: RunFolder) -> None:
    saved = OmegaConf.to_container(OmegaConf.load(folder.config_file))
    elsewhere = "(force=true starts afresh, name= or hydra.run.dir= goes elsewhere)"
    if isinstance(saved, dict) and (key := find_renamed_key(saved)):
        raise InputError(
            f"{folder.path}: holds a run of an earlier version{_commit(folder)}, with "
            f"{RENAMED_KEYS[key]} as {key}; allowed is a run of this version {elsewhere}"
        )
    whole = saved if isinstance(saved, dict) else {}
    for key, saved_value, value in diff_configs(whole, checked.identity):
        raise InputError(
            f"{folder.path}: holds a run with {key}={saved_value}, this one has {value}; allowed "
            f"is the same run {elsewhere}"
        )


def _commit(folder: RunFolder) -> str:
    """Names the commit that made a finished run, in a record of any version."""
    try:
        return f" (commit {json.loads(folder.record_file.read_bytes())['commit']})"
    except (OSError, KeyError, TypeError, ValueError):
        return ""


def _open_run_folder(checked: CheckedRun, folder: RunFolder) -> None:
    if checked.settings.force:
        folder.clear()
    write_text(folder.config_file, OmegaConf.to_yaml(OmegaConf.create(checked.identity)))
    mark_last(folder.path)
