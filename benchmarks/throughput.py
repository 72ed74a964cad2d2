"""Training throughput, data loading included: the reference's loop beside this project's.

    python -m benchmarks.throughput --root data/cifar10-jpeg --out results/throughput.json

With --out, `python -m study report` compares their training compute with the reference's.

Both train torchvision's ResNet18 on the same images, in turn, in one process. The reference's loop:
PIL transforms in a DataLoader with two workers, contiguous NCHW, SGD, batch 128. This project's:
its Lightning module, data module and callbacks as in a run, without a teacher and with one.
"""

import argparse
import itertools
import json
import logging
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning import Callback, LightningModule, Trainer
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.models import resnet18

from lightprune.bench.machine import this_machine
from lightprune.data.augmentation import Augmentation
from lightprune.data.image_folder import ImageFolder
from lightprune.data.images import ImageDataset, ImageSet
from lightprune.data.sources import Source
from lightprune.files import write_text
from lightprune.models.model import Model
from lightprune.provenance import commit
from lightprune.pruning.plan import Plan
from lightprune.pruning.targets import Targets
from lightprune.training.classifier import Classifier
from lightprune.training.lr_schedule import LearningRate, LRCycles
from lightprune.training.recipe import Distillation, Phase
from lightprune.training.recorded_pruning import RecordedPruning
from lightprune.training.setup import Setup
from lightprune.training.trainer import TrainerConfig
from study.throughput import loop_name

WARM_UP = 5


class PilImages(Dataset[tuple[Tensor, int]]):
    """Images in memory, turned into PIL images one by one, as torchvision's CIFAR10 does."""

    def __init__(self, images: ImageSet, transform: Callable[[Image.Image], Tensor]) -> None:
        self.images = images
        self.pixels = images.images.numpy()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), int(self.images.labels[index])


class Reference:
    """The reference's training loop."""

    def __init__(self, images: ImageSet, source: Source, batch: int) -> None:
        transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(source.mean, source.std),
            ]
        )
        self.batch = batch
        self.loader = DataLoader(
            PilImages(images, transform), batch, shuffle=True, num_workers=2, drop_last=True
        )
        self.network = resnet18(num_classes=10)
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4
        )

    def rate(self, batches: int) -> float:
        """Images a second over `batches` batches."""
        start = 0.0
        for number, (inputs, labels) in enumerate(self.loader):
            if number == WARM_UP:
                start = time.perf_counter()
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.network(inputs), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            if number + 1 == WARM_UP + batches:
                break
        assert number + 1 == WARM_UP + batches
        return batches * self.batch / (time.perf_counter() - start)


class Clock(Callback):
    """Times the batches after the warm-up."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Starts and stops at the end of a step, so that loading counts too."""
        if batch_idx == WARM_UP - 1:
            self.start = time.perf_counter()
        self.stop = time.perf_counter()


class Ours:
    """This project's loop."""

    def __init__(
        self,
        data: ImageDataset,
        source: Source,
        batch: int,
        live_taps: bool = True,
        precision: str = "32-true",
        taught: bool = False,
    ) -> None:
        optimizer = lambda groups: torch.optim.SGD(  # noqa: E731
            groups, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True
        )
        rate = LearningRate(0.1)
        self.batch = batch
        self.phase = Phase(
            epochs=1,
            batch_size=batch,
            optimizer=optimizer,
            learning_rate=rate,
            label_smoothing=0.1,
            augmentation=Augmentation(),
            distillation=Distillation(weight=0.5 if taught else 0.0),
        )
        self.setup = Setup(
            model=Model(resnet18, live_taps=live_taps),
            data=data,
            source=source,
            targets=Targets(),
            trainer_config=TrainerConfig(accelerator="cpu", precision=precision, progress=False),
            seed=0,
        )
        self.network = self.setup.new_network()
        self.teacher = self.setup.new_network() if taught else None

    def rate(self, batches: int) -> float:
        """Images a second over `batches` batches."""
        plan = Plan((), 1)
        clock = Clock()
        pruning = RecordedPruning(None, plan, Targets(), self.setup.example)
        cycles = LRCycles(self.phase.learning_rate, plan)
        classifier = Classifier(
            self.network,
            self.setup.model,
            self.setup.data.classes,
            self.phase,
            cycles,
            peak=lambda epoch: 0.1,
            teacher=self.teacher,
        )
        trainer = Trainer(
            accelerator="cpu",
            precision=self.setup.trainer_config.precision,  # type: ignore[arg-type]
            max_epochs=1,
            limit_train_batches=WARM_UP + batches,
            limit_val_batches=0,
            callbacks=[pruning, clock],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(classifier, datamodule=self.setup.data_module(self.phase, "bench"))
        return batches * self.batch / (clock.stop - clock.start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", default="data/cifar10-jpeg")
    parser.add_argument("--images", type=int, default=7680, help="images a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 256, 512])
    parser.add_argument("--precisions", nargs="+", default=["32-true", "bf16-mixed"])
    parser.add_argument("--out", type=Path, help="where a report reads the rates (JSON)")
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    source = ImageFolder(root=options.root)
    data, _ = source.load()
    contenders: dict[tuple[str, int], Reference | Ours] = {
        ("reference", 128): Reference(data.train, source, 128)
    }
    contenders["channels_last alone", 128] = Ours(data, source, 128, live_taps=False)
    for batch in options.batches:
        for precision, taught in itertools.product(options.precisions, (False, True)):
            ours = Ours(data, source, batch, precision=precision, taught=taught)
            contenders[loop_name(precision, taught), batch] = ours
    rates: dict[tuple[str, int], list[float]] = {key: [] for key in contenders}
    for _ in range(options.rounds):
        for key, contender in contenders.items():
            rates[key].append(contender.rate(options.images // contender.batch))
    base = statistics.median(rates["reference", 128])
    print(f"{machine()}, {options.rounds} rounds of {options.images} images")
    print(f"{'':48}{'images/s':>10}{'min':>8}{'max':>8}{'ratio':>8}")
    for (name, batch), values in rates.items():
        middle, label = statistics.median(values), f"{name}, batch {batch}"
        print(f"{label:48}{middle:10.0f}{min(values):8.0f}{max(values):8.0f}{middle / base:8.2f}")
    if options.out:
        write_text(options.out, json.dumps(record(rates), indent=1) + "\n")


def machine() -> str:
    """The processor, how much of it was used, and by what."""
    host, threads = this_machine(), torch.get_num_threads()
    return f"{host.processor}, {host.cores} cores, {threads} threads, torch {torch.__version__}"


def record(rates: Mapping[tuple[str, int], Sequence[float]]) -> dict[str, Any]:
    """What `lightprune report` reads: images a second of every round, and their provenance."""
    loops = [
        {"name": name, "batch_size": batch, "images_per_second": values}
        for (name, batch), values in rates.items()
    ]
    command = shlex.join(["python", "-m", "benchmarks.throughput", *sys.argv[1:]])
    return {"command": command, "commit": commit(), "machine": machine(), "loops": loops}


if __name__ == "__main__":
    main()
