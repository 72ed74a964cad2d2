"""How files and folders are made bad, for the tables of `bad_files`.

What `images`, `checkpoint`, `obstacle` and `in_run` return makes files in the folder it gets, and
returns the overrides that lead to them.
"""

import json

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.system.tiny import tiny_resnet


def class_folders(root, a_class=2):
    pixels = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            folder = root / split / label
            folder.mkdir(parents=True)
            for number in range(a_class):
                Image.fromarray(pixels + number).save(folder / f"{number}.png")
    return root


def images(spoil):
    """Two good class folders, in which `spoil` gets one training image."""

    def make(folder):
        root = class_folders(folder / "images")
        spoil(root / "train" / "dog" / "1.png")
        return ["data=images", f"data.root={root}"]

    return make


def checkpoint(name, write):
    """A file, which `write` fills, as the dense network."""

    def make(folder):
        write(folder / name)
        return [f"dense.checkpoint={folder / name}"]

    return make


def weights(write, change=lambda state: None):
    """Fills a file with a fitting network's weights, after `change`."""

    def fill(path):
        state = tiny_resnet().state_dict()
        change(state)
        write(state, path)

    return fill


def obstacle(key, place, mode=None):
    """A file, or with `mode` a folder of that mode, where `key` then wants to write."""

    def make(folder):
        if mode is None:
            (folder / "here").write_text("mine")
        else:
            (folder / "here").mkdir()
            name = "model.safetensors" if mode & 0o200 else "notes.txt"
            (folder / "here" / name).write_text("mine")
            (folder / "here").chmod(mode)
        return [f"{key}={folder / place}"]

    return make


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def animate(path):
    frames = [Image.new("L", (32, 32), shade) for shade in (0, 100, 200)]
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:])


def instead(path):
    path.unlink()
    path.mkdir()


def emptied(path):
    for image in path.parent.iterdir():
        image.unlink()


def unreadable(path):
    path.chmod(0)


def then(*steps):
    """One step after the other, on the same file."""

    def do(path):
        for step in steps:
            step(path)

    return do


def write(content):
    return lambda path: path.write_bytes(content)


def archive(folder):
    (folder / "cifar-10-batches-py").mkdir()
    (folder / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"\x80\x04damaged")
    return ["data=cifar10", "data.download=false", f"data.root={folder}"]


def nan(state):
    state["fc.weight"][0, 0] = torch.nan


def overflow(state):
    state["fc.weight"] = torch.full_like(state["fc.weight"], 1e300, dtype=torch.float64)


def whole(state):
    state["fc.weight"] = state["fc.weight"].int()


def longer(state):
    state["fc.weight2"] = state["fc.weight"].clone()


def in_run(name, change):
    """A file of a finished run after `change`."""

    def make(folder):
        change(folder / "run" / name)
        return []

    return make


def later_schema(path):
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))


def earlier_version(folder):
    """The folder of a run that a version with other module paths and keys has made."""
    file = folder / "run" / "config.yaml"
    config = yaml.safe_load(file.read_text())
    config["model"]["_target_"] = "lightprune.training.network.Model"
    config["pruner"]["_target_"] = "lightprune.pruning.pruner.Pruner"
    config["pruner"]["dead_weights"] = config["pruner"].pop("unreachable")
    file.write_text(yaml.safe_dump(config))
    return []


def dense_checkpoint_instead(folder):
    state = load_file(folder / "run" / "model.safetensors")
    save_file(state, folder / "dense.safetensors")
    return [f"dense.checkpoint={folder / 'dense.safetensors'}"]
