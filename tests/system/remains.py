"""What a run leaves, as digests by name, without times and without where it lies."""

import csv
import hashlib
import json

import torch

from lightprune.training.checkpoints import LAST, PREVIOUS
from tests.system.entry import record


def left(folder):
    """What a finished run leaves, without times, as digests by name."""
    run = folder / "run"
    (dense,) = (folder / "dense").glob("*/dense.json")
    told = record(run)
    told.pop("seconds"), told["dense"].pop("seconds"), told.pop("command")
    known = json.loads(dense.read_text())
    known.pop("seconds")
    found = {
        "network": (run / "model.safetensors").read_bytes(),
        "layers.csv": (run / "layers.csv").read_bytes(),
        "dense network": (dense.parent / "model.safetensors").read_bytes(),
        "run.json": told,
        "dense.json": known,
    }
    for name, phase in (("dense", dense.parent), ("finetune", run)):
        if name == "dense" and known["epochs"] == 0:
            continue  # What never trained leaves no metrics and no checkpoints.
        with (phase / "metrics.csv").open() as file:
            rows = [{**row, "seconds": ""} for row in csv.DictReader(file)]
        found[f"{name} metrics.csv"] = rows
        for file in (LAST, PREVIOUS):
            state = torch.load(phase / "checkpoints" / file, weights_only=True)
            callbacks = state["callbacks"]
            for row in callbacks["EpochHistory"]["rows"]:
                row.pop("seconds")
            for part in ("PruningCallback", "EpochHistory", "BestEpoch", "Snapshots"):
                found[f"{name} {file} {part}"] = callbacks.get(part)
            for part in ("state_dict", "optimizer_states", "epoch", "global_step"):
                found[f"{name} {file} {part}"] = state[part]
    return {name: digest(value) for name, value in found.items()}


def digest(value):
    """A SHA-256 over nested plain values and tensors."""
    if isinstance(value, torch.Tensor):
        value = [str(value.dtype), list(value.shape), value.contiguous().numpy().tobytes()]
    if isinstance(value, dict):
        value = [[repr(key), digest(inner)] for key, inner in value.items()]
    elif isinstance(value, list | tuple):
        value = [digest(inner) for inner in value]
    plain = value if isinstance(value, bytes) else repr(value).encode()
    return hashlib.sha256(plain).hexdigest()
