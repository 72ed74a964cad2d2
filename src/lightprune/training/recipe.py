"""Settings of the two training phases: dense, and fine-tuning around prune events."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from lightprune.data.augmentation import Augmentation
from lightprune.errors import InputError, check_choice, check_flag, check_names, check_number
from lightprune.pruning.optimizers.state import POLICIES
from lightprune.training.lr_schedule import REWIND, LearningRate


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """A teacher's share in the loss.

    Source: Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network",
    section 2.

    Attributes:
        weight: Of the teacher in the loss, in [0, 1]; the labels have the rest. 0: no teacher.
        temperature: Both networks' logits are divided by it, in [0.01, 1000].
    """

    weight: float = 0.0
    temperature: float = 4.0

    def __post_init__(self) -> None:
        check_number("distillation.weight", self.weight, 0, 1)
        check_number("distillation.temperature", self.temperature, 0.01, 1000)

    def loss(self, cross_entropy: Tensor, logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """The cross-entropy and the mean divergence from the teacher, each with its weight.

        The divergence is KL(teacher || student) times the temperature squared, in float32.

        Args:
            cross_entropy: The mean loss by the labels, a scalar.
            logits: Of the network that trains, shape (B, classes).
            teacher_logits: For the same images.
        """
        student, teacher = (
            F.log_softmax(each.float() / self.temperature, dim=1)
            for each in (logits, teacher_logits)
        )
        divergence = F.kl_div(student, teacher, reduction="batchmean", log_target=True)
        scale = self.weight * self.temperature**2
        return (1 - self.weight) * cross_entropy + scale * divergence


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One training phase.

    Attributes:
        batch_size: Images a batch, over all processes together.
        optimizer: Constructor that takes parameter groups; the schedule sets the learning rate.
        label_smoothing: In [0, 1).
        ema_decay: In [0, 1). Above 0 what is validated, kept and tested is an exponential moving
            average of the weights over the optimizer steps since the last prune event.
        decay_all: Whether weight decay also acts on biases and normalisation layers.
        distillation: From the run's own dense network; in the dense phase, from a network that
            the same recipe trained without (born-again: Furlanello et al. 2018).
    """

    epochs: int
    batch_size: int
    optimizer: Callable[[Iterable[dict[str, Any]]], Optimizer]
    learning_rate: LearningRate
    label_smoothing: float = 0.0
    ema_decay: float = 0.0
    decay_all: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)
    distillation: Distillation = Distillation()

    def __post_init__(self) -> None:
        check_number("epochs", self.epochs, 0, whole=True)
        check_number("batch_size", self.batch_size, 1, whole=True)
        check_number("label_smoothing", self.label_smoothing, 0, 1, open_high=True)
        check_number("ema_decay", self.ema_decay, 0, 1, open_high=True)
        check_flag("decay_all", self.decay_all)
        if not callable(self.optimizer):
            raise InputError(
                f"optimizer={self.optimizer}: allowed is the _target_ of an optimizer, with "
                "_partial_: true"
            )
        # torch's own checks let NaN pass, and fail on words.
        keywords = getattr(self.optimizer, "keywords", {})
        for name in ("lr", "momentum", "weight_decay", "eps"):
            if name in keywords:
                check_number(f"optimizer.{name}", keywords[name], 0)
        check_flag("optimizer.nesterov", keywords.get("nesterov", False))

    def build_optimizer(self, network: nn.Module) -> Optimizer:
        """The optimizer, without weight decay on vectors (biases, norms) unless `decay_all`."""
        parameters = [p for p in network.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in parameters if p.dim() > 1 or self.decay_all]},
            {"params": [p for p in parameters if p.dim() <= 1 and not self.decay_all]},
        ]
        groups[1]["weight_decay"] = 0.0
        optimizer = self.optimizer([group for group in groups if group["params"]])
        if not isinstance(optimizer, Optimizer):
            raise InputError(f"makes a {type(optimizer).__name__}")
        return optimizer


@dataclass(frozen=True, kw_only=True)
class FineTuning(Phase):
    """The phase that prunes.

    Attributes:
        restart: `event` starts a learning-rate cycle at every prune event; `never` makes the
            whole phase one cycle.
        optimizer_state: What a prune event does to momentum: `mask` zeroes that of the pruned
            weights, `reset` clears all, `keep` leaves it (for optimizers whose state lies in
            another basis than the weights, as SOAP's). In every case regrown weights start with
            none, and an event that resets the weights clears all.
        recalibrate: On how many training batches, of all processes together, an event estimates
            the statistics of batch norms anew; 0 leaves them.
        l1: Weight of an added L1 norm of the prunable weights (0: none).
        freeze: Patterns of the parameters that keep their dense values, by parameter or layer:
            they are neither trained nor pruned.
    """

    restart: str = "event"
    optimizer_state: str = "mask"
    l1: float = 0.0
    recalibrate: int = 0
    freeze: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("epochs", self.epochs, 1, whole=True)
        check_choice("restart", self.restart, ("event", "never"))
        check_choice("optimizer_state", self.optimizer_state, POLICIES)
        check_number("l1", self.l1, 0)
        check_number("recalibrate", self.recalibrate, 0, whole=True)
        check_names("freeze", self.freeze)
        object.__setattr__(self, "freeze", tuple(self.freeze))


@dataclass(frozen=True)
class Recipe:
    """Both phases of an experiment."""

    dense: Phase
    finetune: FineTuning

    def __post_init__(self) -> None:
        if self.dense.learning_rate.peak == "auto":
            raise InputError("recipe.dense.learning_rate.peak=auto: allowed is a number")
        if self.dense.learning_rate.shape == REWIND:
            raise InputError("recipe.dense.learning_rate.shape=rewind: allowed is any other shape")
