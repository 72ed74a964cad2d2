"""Digests of what a run writes, by name, without times and paths."""

import csv
import hashlib
import json

import torch

from lightprune.training.checkpoints import LAST, PREVIOUS
from tests.system.entry import record


def run_digests(folder):
    """Digests of everything a finished run has written but times and paths, by name."""
    run = folder / "run"
    run_record = record(run)
    dense = folder / "dense" / run_record["dense"]["key"] / "dense.json"
    for key in ("seconds", "command", "paths"):
        run_record.pop(key)
    dense_record = json.loads(dense.read_text())
    for each in (run_record["dense"], dense_record):
        for key in ("seconds", "teacher_seconds"):
            each.pop(key)
    contents = {
        "network": (run / "model.safetensors").read_bytes(),
        "layers.csv": (run / "layers.csv").read_bytes(),
        "dense network": (dense.parent / "model.safetensors").read_bytes(),
        "run.json": run_record,
        "dense.json": dense_record,
    }
    for name, phase in (("dense", dense.parent), ("finetune", run)):
        if name == "dense" and dense_record["epochs"] == 0:
            continue  # What never trained leaves no metrics and no checkpoints.
        with (phase / "metrics.csv").open() as file:
            rows = [{**row, "seconds": ""} for row in csv.DictReader(file)]
        contents[f"{name} metrics.csv"] = rows
        # Which step is the one before the last depends on the time that saving takes.
        counts_steps = name == "finetune" and any("step" in e for e in run_record["events"])
        for file in (LAST,) if counts_steps else (LAST, PREVIOUS):
            state = torch.load(phase / "checkpoints" / file, weights_only=True)
            callbacks = state["callbacks"]
            for row in callbacks["EpochHistory"]["rows"]:
                row.pop("seconds")
            callbacks["EpochHistory"].pop("seconds")
            for part in (
                "PruningCallback",
                "EpochHistory",
                "BestEpoch",
                "LastTolerated",
                "Snapshots",
            ):
                contents[f"{name} {file} {part}"] = callbacks.get(part)
            for part in ("state_dict", "optimizer_states", "epoch", "global_step"):
                contents[f"{name} {file} {part}"] = state[part]
    return {name: digest(value) for name, value in contents.items()}


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
