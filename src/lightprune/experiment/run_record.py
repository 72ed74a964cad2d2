"""The record of a finished run for run.json: config, data, results, cost, provenance."""

import os
import shlex
import sys
from dataclasses import asdict
from platform import processor

import torch
from torch import nn

from lightprune.experiment.dense import DenseRecord
from lightprune.experiment.preflight import CheckedRun
from lightprune.provenance import commit, versions
from lightprune.pruning.cost import CostReport, cost_report
from lightprune.runs.folder import Json, RunFolder
from lightprune.training.fit import PhaseResult
from lightprune.training.metrics import Evaluation
from lightprune.training.setup import Setup

# Environment variable: the command line that the user typed, for processes under torchrun.
COMMAND = "LIGHTPRUNE_COMMAND"


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
) -> Json:
    """Returns the whole record of a finished run."""
    settings, setup = checked.settings, checked.setup
    train, validation = settings.source.splits(setup.data)
    return {
        "config": settings.identity,
        "config_hash": settings.config_hash,
        "command": os.environ.get(COMMAND) or shlex.join(sys.argv),
        "commit": commit(),
        "versions": versions(),
        "hardware": _hardware(setup),
        "data": {
            "source": type(settings.source).__name__,
            "fingerprint": checked.fingerprint,
            "classes": list(setup.data.classes),
            "train_images": len(train),
            "validation_images": len(validation),
            "validation_is_test": isinstance(settings.source.validation, str),
            "test_images": len(setup.data.test),
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


def _hardware(setup: Setup) -> Json:
    gpu = torch.cuda.get_device_name() if setup.trainer_config.on_gpu else None
    return {
        "device": gpu or processor() or "cpu",
        "processes": setup.trainer_config.processes,
        "threads": torch.get_num_threads(),
        "precision": setup.trainer_config.precision,
    }
