"""Collects the record of a run that has just finished."""

from platform import processor

import torch
from torch import nn

from lightprune.experiment.config_paths import paths_of
from lightprune.experiment.preflight import CheckedRun
from lightprune.provenance import commit, versions
from lightprune.pruning.cost.cost_report import CostReport, cost_report
from lightprune.runs.command_line import command_line
from lightprune.runs.folder import RunFolder
from lightprune.runs.record import (
    DataSummary,
    DenseRecord,
    Hardware,
    RunRecord,
    Scores,
    Seconds,
)
from lightprune.training.fit import PhaseResult
from lightprune.training.metrics import Evaluation
from lightprune.training.setup import Setup


def measure_cost(setup: Setup, network: nn.Module) -> CostReport:
    """Counts the weights and MACs of a network."""
    weights = {name: w.detach() for name, w in setup.targets.find(network).items()}
    return cost_report(network, weights, setup.example[:1])


def full_record(
    checked: CheckedRun,
    dense: DenseRecord,
    trained: PhaseResult,
    tested: Evaluation,
    cost: CostReport,
    folder: RunFolder,
) -> RunRecord:
    """The record of a run whose network has been written to its folder."""
    settings, setup = checked.settings, checked.setup
    train, validation = settings.source.splits(setup.data)
    _, channels, height, width = setup.example.shape
    return RunRecord(
        config=settings.identity,
        config_hash=settings.config_hash,
        command=command_line(),
        commit=commit(),
        versions=versions(),
        hardware=hardware_of(setup),
        data=DataSummary(
            source=type(settings.source).__name__,
            fingerprint=checked.fingerprint,
            classes=tuple(setup.data.classes),
            train_images=len(train),
            validation_images=len(validation),
            validation_is_test=settings.source.validation == "test",
            test_images=len(setup.data.test),
            input_shape=(channels, height, width),
        ),
        dense=dense,
        events=tuple(trained.records),
        best_epoch=trained.epoch,
        validation_accuracy=trained.validation,
        test=Scores(tested.correct, tested.images, tested.loss, tested.classes),
        cost=cost.total,
        parameters=cost.parameters,
        compression_prunable=cost.compression_prunable,
        compression_parameters=cost.compression_parameters,
        sizes={"model.safetensors": folder.model_file.stat().st_size},
        seconds=Seconds(dense=dense.seconds + dense.teacher_seconds, finetune=trained.seconds),
        left_dense=checked.left_dense,
        paths=paths_of(settings.config),
        not_tolerated=trained.not_tolerated,
        epochs_trained=len(trained.rows),
    )


def hardware_of(setup: Setup) -> Hardware:
    """The hardware that a run trains on: this machine."""
    gpu = torch.cuda.get_device_name() if setup.trainer_config.on_gpu else None
    return Hardware(
        device=gpu or processor() or "cpu",
        processes=setup.trainer_config.processes,
        threads=torch.get_num_threads(),
        precision=setup.trainer_config.precision,
    )
