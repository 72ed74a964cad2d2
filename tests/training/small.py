"""Networks, images and trainings small enough for a test, with real Lightning trainers."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from lightning import Callback, Trainer
from torch import nn

from lightprune.data.augmentation import Augmentation
from lightprune.data.datamodule import ImageDataModule
from lightprune.data.images import ImageDataset, ImageSet
from lightprune.data.sources import Source
from lightprune.models.model import Model
from lightprune.pruning.plan import Plan, PruneEvent
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.targets import Targets
from lightprune.training.checkpoints import BestEpoch, SealedCheckpointIO, save_every_epoch
from lightprune.training.classifier import Classifier
from lightprune.training.lr_schedule import LearningRate, LRCycles
from lightprune.training.recipe import FineTuning, Phase
from lightprune.training.recorded_pruning import RecordedPruning
from lightprune.training.setup import Setup
from lightprune.training.trainer import TrainerConfig

CLASSES = ("ape", "bee", "cat", "doe")
MOMENTUM = partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
STILL = Augmentation(crop=0, flip="none")


def cnn(num_classes=4):
    """Convolutions on maps of 8x8, 4x4, 2x2 and 1x1: the last ones have unreachable weights."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8, momentum=0.5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8, momentum=0.5),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8, num_classes),
    )


class Residual(nn.Module):
    """A network with a branch of weights so small that ranking by magnitude empties it first."""

    def __init__(self, num_classes=4):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.branch = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, num_classes)
        nn.init.uniform_(self.branch.weight, -1e-6, 1e-6)

    def forward(self, x):
        x = self.stem(x).relu()
        return self.head((x + self.branch(x)).mean((2, 3)))


def image_set(count, size=8, classes=4):
    """Noise, and a bright band whose height tells the class."""
    labels = torch.arange(count) % classes
    images = torch.randint(0, 130, (count, size, size, 3), dtype=torch.uint8)
    for side in range(classes):
        images[labels == side, side * size // classes] += 120
    return ImageSet(images, labels)


def labelled(train=136, test=40, size=8, classes=CLASSES):
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return ImageDataset(
            image_set(train, size, len(classes)), image_set(test, size, len(classes)), classes
        )


@dataclass(frozen=True, kw_only=True)
class InMemory(Source):
    """Images that are there already."""

    validation: int | float | str = 40

    def files(self):
        return []

    def decode(self, files):
        return labelled()


@dataclass(frozen=True)
class Workbench(TrainerConfig):
    """The hardware of a test, and callbacks that watch what happens on it."""

    accelerator: str = "cpu"
    progress: bool = False
    watchers: tuple[Callback, ...] = ()

    def build(self, *, callbacks=(), **settings):
        return super().build(callbacks=[*callbacks, *self.watchers], **settings)


def small_setup(*watchers, network=cnn, validation=40, seed=0, **settings):
    return Setup(
        model=Model(constructor=network),
        data=labelled(),
        source=InMemory(validation=validation),
        targets=Targets(),
        trainer_config=Workbench(watchers=watchers, **settings),
        seed=seed,
    )


def phase(epochs=4, optimizer=MOMENTUM, peak=0.2, shape="linear", crop=1, **settings):
    return FineTuning(
        epochs=epochs,
        batch_size=32,
        optimizer=optimizer,
        learning_rate=LearningRate(peak, shape),
        augmentation=Augmentation(crop),
        **settings,
    )


def plan(*events, epochs=4):
    """A plan of (epoch, sparsity) pairs."""
    return Plan(tuple(PruneEvent(*event) for event in events), epochs)


@dataclass
class Session:
    """One training, laid out by hand."""

    trainer: Trainer
    classifier: Classifier
    pruning: RecordedPruning
    data: ImageDataModule
    best: BestEpoch

    def fit(self, checkpoint=None):
        self.trainer.fit(
            self.classifier, datamodule=self.data, ckpt_path=checkpoint, weights_only=True
        )
        return self

    @property
    def network(self):
        return self.classifier.network

    @property
    def weights(self):
        return {n: w.detach() for n, w in Targets().find(self.network).items()}

    @property
    def zeros(self):
        return sum(int((weight == 0).sum()) for weight in self.weights.values())

    @property
    def total(self):
        return sum(weight.numel() for weight in self.weights.values())


def session(
    folder: Path,
    course: Plan,
    *watchers: Callback,
    network: Callable[..., nn.Module] = cnn,
    pruner: Pruner | None = None,
    how: Phase | None = None,
    loggers: Iterable = (),
    targets: Targets = Targets(),  # noqa: B008
    data: ImageDataset | None = None,
    channels_last: bool = True,
    validation: int | str = 40,
    saves: bool = False,
    **trainer,
) -> Session:
    """A training whose every setting a test may choose; `saves` adds the checkpoints."""
    data = labelled() if data is None else data
    how = phase(course.epochs) if how is None else how
    model = Model(network, channels_last=channels_last)
    torch.manual_seed(0)
    built = model.build(len(data.classes))
    pruning = RecordedPruning(
        pruner or Pruner(),
        course,
        targets,
        torch.randn(8, 3, *data.test.images.shape[1:3]),
        optimizer_state=how.optimizer_state,
    )
    peak = how.learning_rate.peak
    classifier = Classifier(
        built,
        model,
        data.classes,
        how,
        LRCycles(how.learning_rate, course, how.restart),
        peak=lambda epoch: peak,
        l1=how.l1,
        l1_weights=targets.find(built).values(),
    )
    settings = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": course.epochs,
        "default_root_dir": folder,
        "logger": list(loggers) or False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": saves,
        "plugins": [SealedCheckpointIO()],
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
        "log_every_n_steps": 1,
    }
    module = ImageDataModule(
        data,
        InMemory(validation=validation),
        batch_size=how.batch_size,
        augmentation=how.augmentation,
        seed=0,
        rng_key="finetune",
    )
    best = BestEpoch(pruning)
    saving = [best, save_every_epoch(folder)] if saves else []
    callbacks = [pruning, *watchers, *saving]
    return Session(
        Trainer(callbacks=callbacks, **{**settings, **trainer}), classifier, pruning, module, best
    )


class BrokenOffError(RuntimeError):
    pass


class BreakOffAt(Callback):
    """Breaks a training off before the first step of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch == self.epoch:
            raise BrokenOffError


class OnStep(Callback):
    """Calls a function after every batch."""

    def __init__(self, look):
        self.look = look

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.look(trainer, pl_module)


class OnEpoch(Callback):
    """Calls a function at the end of every epoch."""

    def __init__(self, look):
        self.look = look

    def on_train_epoch_end(self, trainer, pl_module):
        self.look(trainer, pl_module)


def equal(first, second):
    """Whether two mappings hold the same tensors, bit for bit, under the same names."""
    return list(first) == list(second) and all(torch.equal(first[n], second[n]) for n in first)


def copied(state):
    return {name: value.detach().clone() for name, value in state.items()}
