"""Names of run folders and sweeps: what a config says, in letters that every system takes."""

import re
from pathlib import Path

from lightprune.runs.method_label import class_label, method_label, prunes
from lightprune.runs.record import Json

_LONGEST = 80


def folder_name(words: str, *endings: str) -> str:
    """The words in letters, digits, `_` and `.`, then each ending after a `-`; 80 characters."""
    end = "".join(f"-{ending}" for ending in endings)
    label = re.sub(r"[^A-Za-z0-9.]+|\.\.+", "_", words).strip("_.")
    return label[: _LONGEST - len(end)].rstrip("_.") + end


def run_words(config: Json) -> str:
    """What a resolved config trains, on which data, and how it prunes."""
    words = [str(config["model"]["constructor"]["_target_"]).rpartition(".")[2], _data(config)]
    if checkpoint := config["dense"]["checkpoint"]:
        words += ["from", Path(checkpoint).stem]
    scope, _, rest = method_label(config).partition(" ")
    return " ".join([*words, scope, _target(config["schedule"]) if prunes(config) else "", rest])


def _data(config: Json) -> str:
    name, root = class_label(config["data"]), config["data"].get("root")
    return Path(root).name if name == "image_folder" and root else name


def _target(schedule: Json) -> str:
    if schedule.get("sparsity") is not None:
        return f"{round(100 * schedule['sparsity'], 2):g}"
    return f"amount {100 * schedule['amount']:g}" if schedule.get("amount") is not None else ""
