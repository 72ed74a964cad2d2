"""A short run on real images: 2,000 of them, dense to 98 %, checked on the saved file."""

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path
from zipfile import ZipFile

import torch
from safetensors.torch import load_file
from torchvision.models import resnet18


def unpack(archive: Path, folder: Path, a_class: int) -> None:
    """Unpacks the first `a_class` images of every class of both splits."""
    with ZipFile(archive) as images:
        names = sorted(name for name in images.namelist() if name.endswith(".jpg"))
        for split in ("train", "test"):
            classes = {n.split("/")[-2] for n in names if f"{split}/" in n}
            for label in sorted(classes):
                inside = (n for n in names if f"{split}/{label}/" in n)
                for name in islice(inside, a_class):
                    file = folder / split / label / Path(name).name
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(images.read(name))


def main(archive: Path, work: Path) -> None:
    """Runs the main job and checks its results."""
    unpack(archive, work / "images", 100)
    run = work / "run"
    command = [
        *(sys.executable, "train.py", "data=images", f"data.root={work / 'images'}"),
        *("data.validation=100", "recipe=smoke", "pruner=global", "schedule=multi_step"),
        *("schedule.sparsity=0.98", f"hydra.run.dir={run}", f"dense.cache_dir={work / 'dense'}"),
        f"data.cache_dir={work / 'data'}",
    ]
    subprocess.run(command, check=True)
    record = json.loads((run / "run.json").read_bytes())
    network = resnet18(num_classes=10)
    network.load_state_dict(load_file(run / "model.safetensors"))
    layers = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    zeros = sum(int((layer.weight == 0).sum()) for layer in layers)
    expected = round(0.98 * 11_166_912)
    if zeros != expected or record["test"]["images"] != 1000:
        sys.exit(
            f"error: {zeros} zeros instead of {expected}, {record['test']['images']} test images"
        )
    print(f"real images: {zeros} zeros, {record['test']['correct']} of 1000 test images right")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
