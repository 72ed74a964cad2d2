"""The folder of a finished run, made by hand: a small pruned network with unreachable weights."""

import json

import torch
from torch import nn

from lightprune.files import write_weights
from lightprune.pruning.cost.cost_report import LayerCost
from lightprune.runs.folder import RunFolder
from lightprune.runs.record import (
    DataSummary,
    DenseRecord,
    Hardware,
    RunRecord,
    Scores,
    Seconds,
)

OWN = "tests.export.finished.small_network"


class Residual(nn.Module):
    """relu(x + bn(conv(x)))."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x):
        return torch.relu(x + self.bn(self.conv(x)))


def small_network(num_classes=10):
    """For 8x8 images: the map is 2x2, then 1x1, before the last convolutions."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        Residual(16),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, num_classes),
    )


def with_statistics(network):
    """The network in evaluation mode, its batch norms no longer neutral."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.bias)
            nn.init.uniform_(module.weight, 0.5, 2)
    return network.eval()


def prune_convolutions(network, sparsity):
    """Zeroes the smallest weights of all convolutions together; returns their names."""
    weights = {n: p for n, p in network.named_parameters() if p.dim() == 4}
    magnitudes = torch.cat([w.detach().abs().flatten() for w in weights.values()])
    threshold = magnitudes.kthvalue(max(round(sparsity * len(magnitudes)), 1)).values
    with torch.no_grad():
        for weight in weights.values():
            weight[weight.abs() <= threshold] = 0
    return list(weights)


def finish(folder, network, pruned, *, constructor=OWN, size=8, **arguments):
    """Writes what a finished run leaves behind of a network."""
    run = RunFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(run.model_file, network.state_dict())
    run.layers_file.write_text("".join(f"{line}\n" for line in ["name", *pruned]))
    run.config_file.write_text("")
    built = {"_target_": constructor, "_partial_": True, **arguments}
    config = {
        "model": {"constructor": built},
        "data": {"size": size, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]},
    }
    run.complete(run_record(config))
    return folder


def run_record(config, *, paths=(), input_shape=None):
    """A record of which only the config means anything, and where and what the images are."""
    return RunRecord(
        config=config,
        config_hash="",
        command="train.py",
        commit="0123456789abcdef",
        versions={},
        hardware=Hardware("cpu", 1, 1, "32-true"),
        data=DataSummary(
            "ImageFolder",
            "f" * 64,
            tuple(f"class {n}" for n in range(10)),
            60,
            0,
            False,
            60,
            input_shape,
        ),
        dense=DenseRecord(
            source="trained",
            test_correct=30,
            test_images=60,
            unreachable_weights=0,
            changed_without_unreachable=0,
            weights_sha256="",
        ),
        events=(),
        best_epoch=0,
        validation_accuracy=0.5,
        test=Scores(30, 60, 1.0, ()),
        cost=LayerCost(1, 1, 1, 1, 1, 1, 1),
        parameters=1,
        compression_prunable=1.0,
        compression_parameters=1.0,
        sizes={},
        seconds=Seconds(dense=1.0, finetune=1.0),
        paths=dict(paths),
    )


def finished_run(folder):
    """A small finished run and its network."""
    network = with_statistics(small_network())
    return finish(folder, network, prune_convolutions(network, 0.8)), network


def change_record(folder, change):
    """Changes run.json by hand."""
    file = RunFolder(folder).record_file
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))
