"""LightningModules as people write them, each with the Trainer and the callbacks that train it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn.functional as F
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, StochasticWeightAveraging
from torch import nn
from torch.nn.utils import parametrizations

from lightprune import MultiStep, Pruner, PruningCallback, Targets
from lightprune.pruning.criteria import Movement, Taylor
from lightprune.pruning.regrowth import Regrowth
from tests.callbacks.optimizers.test_mixing_optimizers import Eigenbasis

SPARSITY, EPOCHS, BATCHES = 0.8, 3, 4
SCHEDULE = MultiStep(SPARSITY, steps=2)


class Batches:
    """A loader that goes on where a checkpoint left it, as torchdata's stateful one does."""

    def __init__(self, make):
        generator = torch.Generator().manual_seed(1)
        self.batches = [make(generator) for _ in range(BATCHES)]
        self.start = self.position = 0

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        start, self.start = self.start, 0
        for index in range(start, len(self.batches)):
            self.position = index + 1
            yield self.batches[index]

    def state_dict(self):
        return {"position": self.position % len(self.batches)}

    def load_state_dict(self, state):
        self.start = state["position"]


def vectors(generator):
    return torch.randn(8, 6, generator=generator), torch.randint(0, 3, (8,), generator=generator)


def dicts(generator):
    x, y = vectors(generator)
    return {"inputs": {"features": x}, "label": y}


def tokens(generator):
    return torch.randint(0, 11, (4, 7), generator=generator)


def images(generator):
    x = torch.randn(2, 3, 8, 8, generator=generator)
    return x, (x.mean(1) > 0).long()


class Module(LightningModule):
    """A network under an attribute of any name, its loss and its optimizer."""

    batches = staticmethod(vectors)

    def __init__(self, optimizer=partial(torch.optim.SGD, lr=0.05, momentum=0.9)):  # noqa: B008
        super().__init__()
        self.make_optimizer = optimizer
        self.encoder = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16, bias=False))
        self.head = nn.Linear(16, 3)

    def loss(self, batch):
        x, y = batch
        return F.cross_entropy(self.head(self.encoder(x)), y)

    def training_step(self, batch, batch_idx):
        return self.loss(batch)

    def validation_step(self, batch, batch_idx):
        self.log("val/score", -self.loss(batch))

    def configure_optimizers(self):
        return self.make_optimizer([p for p in self.parameters() if p.requires_grad])


class LateLayers(Module):
    """Builds its layers when the trainer has been set up."""

    def __init__(self):
        super().__init__()
        del self.encoder

    def configure_model(self):
        if not hasattr(self, "encoder"):
            self.encoder = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16))


class DictBatches(Module):
    """Takes nested dictionaries."""

    batches = staticmethod(dicts)

    def loss(self, batch):
        return super().loss((batch["inputs"]["features"], batch["label"]))


class TwoByHand(Module):
    """Two networks that take turns; one optimizer steps by Lightning, the other by itself."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.critic = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))

    def training_step(self, batch, batch_idx):
        generator, critic = self.optimizers()
        loss = self.loss(batch)
        generator.zero_grad()
        self.manual_backward(loss)
        generator.step()
        judged = self.critic(self.head(self.encoder(batch[0])).detach())
        critic.zero_grad()
        self.manual_backward(judged.square().mean() - judged.mean())
        critic.optimizer.step()

    def configure_optimizers(self):
        first = [*self.encoder.parameters(), *self.head.parameters()]
        return [torch.optim.Adam(first, 0.01), Eigenbasis(self.critic.parameters(), 0.01)]


class LanguageModel(Module):
    """A transformer whose embedding and output share a weight."""

    batches = staticmethod(tokens)

    def __init__(self):
        super().__init__(partial(torch.optim.AdamW, lr=0.01))
        del self.encoder
        self.embedding = nn.Embedding(11, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.transformer = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embedding.weight

    def loss(self, batch):
        inputs = batch[:, :-1]
        mask = nn.Transformer.generate_square_subsequent_mask(inputs.shape[1])
        logits = self.head(self.transformer(self.embedding(inputs), mask))
        return F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())


class Recurrent(Module):
    """Reads features one by one, in both directions."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.LSTM(1, 8, num_layers=2, bidirectional=True, batch_first=True)

    def loss(self, batch):
        x, y = batch
        return F.cross_entropy(self.head(self.encoder(x.unsqueeze(2))[0][:, -1]), y)


class Segmentation(Module):
    """Down and up again, in channels_last."""

    batches = staticmethod(images)

    def __init__(self):
        super().__init__()
        self.encoder = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.ConvTranspose2d(8, 2, 2, stride=2)
        self.to(memory_format=torch.channels_last)

    def loss(self, batch):
        x, y = batch
        return F.cross_entropy(self.head(self.norm(self.encoder(x)).relu()), y)


class Normed(Module):
    """Weights that are computed from others."""

    def __init__(self):
        super().__init__()
        parametrizations.weight_norm(self.encoder[0])
        parametrizations.spectral_norm(self.encoder[2])


def compiled_part(backend="aot_eager"):
    module = Module()
    module.encoder.compile(backend=backend)
    return module


def compiled(backend="aot_eager"):
    return torch.compile(Module(), backend=backend)


def pruning(**settings):
    return [PruningCallback(Pruner(), SCHEDULE, metric="val/score", **settings)]


def without_metric(**settings):
    return [PruningCallback(Pruner(), SCHEDULE, **settings)]


def two_callbacks():
    exchanging = Pruner(scope="local", regrowth=Regrowth(0.5, "random"))
    return [
        *without_metric(module="encoder"),
        PruningCallback(exchanging, SCHEDULE, targets=Targets(("Linear",), include=("head",))),
    ]


def scored(criterion):
    loss = Module.loss
    return lambda: [PruningCallback(Pruner(criterion), MultiStep(0.8, start=1, steps=2), loss=loss)]


@dataclass(frozen=True)
class Scenario:
    """What is trained, and how."""

    module: Callable[[], LightningModule] = Module
    pruning: Callable[[], list[PruningCallback]] = pruning
    watchers: Callable[[], list[Callback]] = list
    trainer: dict = field(default_factory=dict)
    validates: bool = True
    window: int = 1  # Batches a step.
    resumes: bool = True

    def fit(self, folder, *watchers, checkpoint=None):
        """Trains from the start or from a checkpoint."""
        torch.manual_seed(0)
        module, callbacks = self.module(), self.pruning()
        settings = {
            "accelerator": "cpu",
            "max_epochs": EPOCHS,
            "default_root_dir": folder,
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        }
        trainer = Trainer(
            **{**settings, **self.trainer}, callbacks=[*callbacks, *self.watchers(), *watchers]
        )
        loaders = [Batches(trainer_batches(module)) for _ in range(2)]
        trainer.fit(module, *loaders[: 1 + self.validates], ckpt_path=checkpoint)
        return Fitted(trainer, trainer.lightning_module, callbacks)


def trainer_batches(module):
    return getattr(module, "_orig_mod", module).batches


@dataclass(frozen=True)
class Fitted:
    """A finished training."""

    trainer: Trainer
    module: LightningModule
    callbacks: list[PruningCallback]


MUON = partial(torch.optim.Muon, lr=0.02)


def matrices():
    """Muon takes matrices alone."""
    module = Module(MUON)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(not name.endswith("bias"))
    return module


SCENARIOS = {
    "a plain module": Scenario(),
    "layers built late": Scenario(LateLayers),
    "two networks by hand, one raw step": Scenario(TwoByHand),
    "no validation": Scenario(pruning=without_metric, validates=False),
    "dict batches": Scenario(DictBatches),
    "transformer language model": Scenario(LanguageModel),
    "LSTM": Scenario(Recurrent),
    "segmentation, channels_last": Scenario(Segmentation),
    "weight_norm, spectral_norm": Scenario(Normed),
    "EMA": Scenario(watchers=lambda: [EMAWeightAveraging(decay=0.8)]),
    "SWA": Scenario(
        watchers=lambda: [StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=1)],
        resumes=False,  # Lightning's acts at the start of an epoch, which is over here.
    ),
    "a compiled part": Scenario(compiled_part),
    "a compiled module": Scenario(compiled),
    "a module compiled by inductor": Scenario(partial(compiled, "inductor")),
    "Muon": Scenario(matrices),
    "SOAP's way": Scenario(partial(Module, partial(Eigenbasis, lr=0.01))),
    "AdamW": Scenario(partial(Module, partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1))),
    "LBFGS": Scenario(partial(Module, partial(torch.optim.LBFGS, lr=0.1, max_iter=3))),
    "two callbacks": Scenario(pruning=two_callbacks),
    "accumulation and clipping": Scenario(
        trainer={"accumulate_grad_batches": 2, "gradient_clip_val": 0.1}, window=2
    ),
    "bf16-mixed": Scenario(trainer={"precision": "bf16-mixed"}),
    "max_steps": Scenario(trainer={"max_epochs": -1, "max_steps": EPOCHS * BATCHES}),
    "scores by gradients": Scenario(pruning=scored(Taylor(batches=2))),
    "scores that accumulate": Scenario(pruning=scored(Movement())),
}
