"""What run.json says of a finished run: its question, its answer, and where both come from."""

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

# Processes under torchrun are told by this variable what the user typed.
COMMAND = "LIGHTPRUNE_COMMAND"


def measure(lab: Setup, network: nn.Module) -> CostReport:
    """Counts the weights and MACs of a network."""
    weights = {name: w.detach() for name, w in lab.targets.find(network).items()}
    return cost_report(network, weights, lab.example[:1])


def full_record(
    prepared: CheckedRun,
    dense: DenseRecord,
    trained: PhaseResult,
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
        "command": os.environ.get(COMMAND) or shlex.join(sys.argv),
        "commit": commit(),
        "versions": versions(),
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


def _hardware(lab: Setup) -> Json:
    gpu = torch.cuda.get_device_name() if lab.trainer_config.on_gpu else None
    return {
        "device": gpu or processor() or "cpu",
        "processes": lab.trainer_config.processes,
        "threads": torch.get_num_threads(),
        "precision": lab.trainer_config.precision,
    }
