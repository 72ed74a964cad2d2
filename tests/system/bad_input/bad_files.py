"""What may be wrong in files and folders: how to make it, and parts of the line it must get.

The entries of `FILES` start in an empty folder, those of `RUNS` in that of a finished run.
"""

import shutil
from functools import partial

import torch
from PIL import Image
from safetensors.torch import save_file

from tests.system.bad_input.damage import (
    animate,
    archive,
    checkpoint,
    dense_checkpoint_instead,
    earlier_version,
    emptied,
    halve,
    images,
    in_run,
    instead,
    later_schema,
    longer,
    nan,
    obstacle,
    overflow,
    then,
    unreadable,
    weights,
    whole,
    write,
)

IMAGE = "images/train/dog/1.png"
FILES = {
    "truncated image": (images(halve), ["data.root", f"{IMAGE} is not a readable image"]),
    "empty image": (images(write(b"")), ["data.root", f"{IMAGE} is not a readable image"]),
    "text that pretends to be an image": (
        images(write(b"a dog")),
        ["data.root", f"{IMAGE} is not a readable image"],
    ),
    "animated image": (images(animate), ["data.root", f"{IMAGE} has 3 frames", "still images"]),
    "folder among the images": (images(instead), ["data.root", f"{IMAGE} is not a readable image"]),
    "image that may not be read": (images(unreadable), ["data.root", IMAGE, "Permission denied"]),
    "image that unpacks to gigabytes": (
        images(lambda path: Image.new("1", (20_000, 20_000)).save(path)),
        ["data.root", IMAGE, "400000000 pixels"],
    ),
    "empty class folder": (images(emptied), ["data.root", "images/train/dog is empty"]),
    "class folder without images in the other split": (
        images(lambda path: (path.parents[1] / "horse").mkdir()),
        ["data.root", "class folder horse is in only one of train and test"],
    ),
    "pictures that are too few for the recipe": (
        lambda folder: [*images(lambda path: None)(folder), "recipe=fast"],
        [
            "recipe.dense.batch_size=256, recipe.finetune.batch_size=256: do not fit 2 training",
            "these fit: recipe.dense.batch_size=2 recipe.finetune.batch_size=2",
        ],
    ),
    "class with one image": (
        images(lambda path: path.unlink()),
        ["data.validation=null: 1 of 2 classes have too few", "dog (1); allowed are at least 2"],
    ),
    "validation images beside a number of them": (
        lambda folder: [
            *images(lambda path: shutil.copytree(path.parents[1], path.parents[2] / "val"))(folder),
            "data.validation=1",
        ],
        ["data.validation=1: the data have 4 validation images of their own (val/)", "null"],
    ),
    "no class folders": (
        images(lambda path: shutil.rmtree(path.parents[1])),
        ["data.root", "holds no class folder train/CLASS"],
    ),
    "one class": (
        images(lambda path: [shutil.rmtree(f) for f in path.parents[2].glob("t*/cat")]),
        ["data: holds one class, dog; allowed are two or more"],
    ),
    "root that is a file": (
        lambda folder: ["data=images", *obstacle("data.root", "here")(folder)],
        ["data.root", "no such folder", "train/CLASS/*"],
    ),
    "damaged CIFAR-10": (archive, ["data.root", "no intact CIFAR-10", "data.download=true"]),
    "checkpoint of another network": (
        checkpoint("a.pt", partial(torch.save, torch.nn.Linear(2, 2).state_dict())),
        [
            "dense.checkpoint",
            "is of another network: conv1.weight is missing there",
            "(8, 3, 7, 7)",
        ],
    ),
    "checkpoint of a longer network": (
        checkpoint("a.pt", weights(torch.save, longer)),
        ["dense.checkpoint", "fc.weight2 is (10, 32) there and missing here"],
    ),
    "truncated safetensors": (
        checkpoint("a.safetensors", then(weights(save_file), halve)),
        ["dense.checkpoint", "a.safetensors: cannot be read", "state dict"],
    ),
    "truncated state dict": (
        checkpoint("a.pt", then(weights(torch.save), halve)),
        ["dense.checkpoint", "a.pt: cannot be read", "state dict"],
    ),
    "empty checkpoint file": (
        checkpoint("a.pt", write(b"")),
        ["dense.checkpoint", "a.pt: cannot be read", "state dict"],
    ),
    "empty safetensors file": (
        checkpoint("a.safetensors", write(b"")),
        ["dense.checkpoint", "a.safetensors: cannot be read"],
    ),
    "checkpoint that is text": (
        checkpoint("a.pt", write(b"my weights")),
        ["dense.checkpoint", "a.pt: cannot be read"],
    ),
    "checkpoint that would run code": (
        checkpoint("a.pt", partial(torch.save, print)),
        ["dense.checkpoint", "a.pt: cannot be read without running code"],
    ),
    "checkpoint that is a folder": (
        checkpoint("a.pt", lambda path: path.mkdir()),
        ["dense.checkpoint", "a.pt: is a folder"],
    ),
    "checkpoint that holds one tensor": (
        checkpoint("a.pt", partial(torch.save, torch.ones(3))),
        ["dense.checkpoint", "holds no state dict"],
    ),
    "checkpoint that holds more than weights": (
        checkpoint("a.pt", partial(torch.save, {"epoch": 3, "state_dict": {}})),
        ["dense.checkpoint", "holds no state dict"],
    ),
    "NaN among the weights": (
        checkpoint("a.safetensors", weights(save_file, nan)),
        ["dense.checkpoint", "fc.weight holds NaN or infinite weights"],
    ),
    "weights beyond float32": (
        checkpoint("a.pt", weights(torch.save, overflow)),
        ["dense.checkpoint", "fc.weight holds NaN or infinite weights"],
    ),
    "integer weights": (
        checkpoint("a.safetensors", weights(save_file, whole)),
        ["dense.checkpoint", "fc.weight is of torch.int32 there and torch.float32 here"],
    ),
    "checkpoint that may not be read": (
        checkpoint("a.pt", then(weights(torch.save), unreadable)),
        ["dense.checkpoint", "a.pt: may not be read (Permission denied)", "that you may read"],
    ),
    "safetensors that may not be read": (
        checkpoint("a.safetensors", then(weights(save_file), unreadable)),
        ["dense.checkpoint", "a.safetensors: may not be read (Permission denied)"],
    ),
    "output folder that is a file": (obstacle("hydra.run.dir", "here"), ["/", "here", "exists"]),
    "output folder below a file": (
        obstacle("hydra.run.dir", "here/run"),
        ["/", "here/run", "Not a directory", "read and write"],
    ),
    "output folder that holds something else": (
        obstacle("hydra.run.dir", "here", 0o700),
        ["hydra.run.dir", "here: holds model.safetensors, but no run"],
    ),
    "output folder that may not be written": (
        obstacle("hydra.run.dir", "here", 0o500),
        ["hydra.run.dir", "here may not be written to", "allowed is a folder"],
    ),
    "output folder that cannot be made": (
        obstacle("hydra.run.dir", "here/run", 0o500),
        ["/", "here/run", "Permission denied", "read and write"],
    ),
    "dense cache that is a file": (
        obstacle("dense.cache_dir", "here"),
        ["dense.cache_dir", "here is no folder", "allowed is a folder"],
    ),
    "dense cache that may not be written": (
        obstacle("dense.cache_dir", "here/dense", 0o500),
        ["dense.cache_dir", "here may not be written to", "allowed is a folder"],
    ),
    "data cache below a file": (
        obstacle("data.cache_dir", "here/data"),
        ["data.cache_dir", "here is no folder", "allowed is a folder"],
    ),
    "data cache that may not be written": (
        obstacle("data.cache_dir", "here", 0o500),
        ["data.cache_dir", "here may not be written to", "allowed is a folder"],
    ),
}

RUNS = {
    "truncated run.json": (in_run("run.json", halve), ["/", "run.json: is damaged", "force=true"]),
    "run.json that is a list": (in_run("run.json", write(b"[]")), ["/", "run.json: is damaged"]),
    "run.json of no letters": (
        in_run("run.json", write(b"\xff\xfe")),
        ["/", "run.json: is damaged"],
    ),
    "run.json of a later version": (
        in_run("run.json", later_schema),
        ["/", "run.json: schema=99: allowed is 2", "force=true"],
    ),
    "run.json that may not be read": (
        in_run("run.json", unreadable),
        ["/", "run.json: may not be read (Permission denied)"],
    ),
    "damaged config.yaml": (
        in_run("config.yaml", write(b"seed: [0")),
        ["/", "config.yaml: is damaged", "allowed is intact YAML"],
    ),
    "config.yaml that names a class": (
        in_run("config.yaml", write(b"seed: !!python/object/apply:os.getcwd []")),
        ["/", "config.yaml: is damaged", "python/object"],
    ),
    "folder of a run of an earlier version": (
        earlier_version,
        [
            *("/", "holds a run of an earlier version (commit ", "pruner.unreachable as"),
            *("pruner.dead_weights", "force=true"),
        ],
    ),
    "folder of another run": (
        lambda folder: ["seed=7"],
        ["/", "holds a run with", "=0, this one has 7", "force=true"],
    ),
    "folder of a run with other dense weights": (
        dense_checkpoint_instead,
        ["/", "holds a run with dense_weights=None", "force=true"],
    ),
}
