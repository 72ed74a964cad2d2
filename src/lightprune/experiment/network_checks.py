"""Checks of a network before training: its outputs, and one training step of each phase."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from lightprune.errors import InputError, first_line, first_of
from lightprune.pruning.eval_mode import eval_mode
from lightprune.rendering.number_format import counted
from lightprune.rng import fork_named_rng
from lightprune.training.recipe import Phase
from lightprune.training.setup import Setup

# A step of more takes too long for a check; layers tell one image from several, not two from more.
_MOST_MACS = 2 * 10**10
# A first step of fewer seconds may be mostly what a first step alone takes.
_WARM_UP = 0.5
_BATCHES = (2, 4, 8, 16, 32, 64)


def check_outputs(network: nn.Module, setup: Setup) -> None:
    """Raises InputError unless the network turns images of this size into one logit a class."""
    size = tuple(setup.example.shape[1:])

    def outputs(network: nn.Module) -> Any:
        with eval_mode(network):
            return network(setup.example)

    try:
        logits = outputs(network)
    except Exception as error:  # The user's own code may raise anything.
        reason = first_line(error)
        if setting := _setting_at_fault(setup, lambda other: outputs(other.new_network())):
            raise InputError(
                f"{setting}: the network does not run ({reason}); allowed here is false"
            ) from error
        raise InputError(
            f"model: takes no images of {size} ({reason}); allowed is a network that does"
        ) from error
    _check_logits(logits, len(setup.example), setup, network)


def network_macs(network: nn.Module, setup: Setup) -> int | None:
    """The MACs of one image over all layers, prunable or not; None where torch counts none."""
    try:
        with eval_mode(network), FlopCounterMode(display=False) as counter:
            network(setup.model.to_memory_format(setup.example[:1]))
    except Exception:  # The user's own code may raise anything; its outputs are checked elsewhere.
        return None
    return counter.get_total_flops() // 2 or None


@dataclass(frozen=True)
class TrainingStep:
    """What a training step of a phase takes.

    Attributes:
        optimizer_bytes: What its optimizer keeps.
        image_seconds: The time of a step on the CPU, an image.
    """

    optimizer_bytes: int
    image_seconds: float


def check_training(
    setup: Setup, phases: Mapping[str, Phase], macs: int | None
) -> dict[str, TrainingStep]:
    """Takes one training step of every phase on a network of its own, at its process's batch size.

    The random streams and all other networks stay as they are. The phases are by their names in the
    recipe. A step of very many `macs`, those of one image over the whole network, takes fewer
    images, two at least; where they are unknown (None), two.

    Returns:
        What the step of each phase took.

    Raises:
        InputError: A step fails; the message names the setting at fault.
    """
    with fork_named_rng("training check"):
        return {name: _check_phase(setup, name, phase, macs) for name, phase in phases.items()}


def _check_phase(setup: Setup, name: str, phase: Phase, macs: int | None) -> TrainingStep:
    processes = setup.trainer_config.processes
    if name == "dense":
        setup = setup.without_freezing()
    batch = phase.batch_size // processes
    most = 2 if macs is None else max(2, _MOST_MACS // (3 * macs))
    # A part of a batch is a power of two, as batches usually are.
    count = batch if batch <= most else 1 << (most.bit_length() - 1)
    start = time.perf_counter()
    try:
        network, loss = _forward_backward(setup, phase, count)
    except InputError:
        raise
    except Exception as error:  # The user's own code may raise anything.
        double = min(batch, 2 * count)
        twice = partial(_forward_backward, setup, phase, double)
        if count == batch or not _succeeds(twice):
            larger = [size for size in _BATCHES if batch < size <= most] if count == batch else []
            raise InputError(_explain_failure(setup, name, phase, count, error, larger)) from error
        network, loss = twice()
        count = double
    unused = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    if unused and processes > 1:
        raise InputError(
            f"trainer.devices={setup.trainer_config.devices}: several processes exchange the "
            f"gradient of every parameter, and a training step uses none of {first_of(unused, 3)}; "
            "allowed are trainer.devices=1, or a network without these parameters, or with "
            "requires_grad=False for them"
        )
    optimizer = phase.build_optimizer(network)
    try:
        optimizer.step(lambda: loss.item())
    except Exception as error:  # As above.
        raise InputError(
            f"recipe.{name}.optimizer: its step fails ({first_line(error)}); allowed is an "
            "optimizer that can train the network"
        ) from error
    state = tree_leaves(optimizer.state_dict()["state"])
    size = sum(t.numel() * t.element_size() for t in state if isinstance(t, Tensor))
    seconds = time.perf_counter() - start
    if seconds < _WARM_UP:
        start = time.perf_counter()
        _forward_backward(setup, phase, count)
        seconds = time.perf_counter() - start
    return TrainingStep(size, seconds / count)


def _forward_backward(setup: Setup, phase: Phase, count: int) -> tuple[nn.Module, Tensor]:
    network = setup.new_network().train()
    images = torch.randn(count, *setup.example.shape[1:])
    labels = torch.arange(count) % len(setup.data.classes)
    logits = network(setup.model.to_memory_format(images))
    _check_logits(logits, count, setup, network)
    loss = F.cross_entropy(logits, labels, label_smoothing=phase.label_smoothing)
    loss.backward()  # type: ignore[no-untyped-call]
    return network, loss


def _check_logits(logits: Any, images: int, setup: Setup, network: nn.Module) -> None:
    classes, mode = len(setup.data.classes), " in training mode" if network.training else ""
    if not isinstance(logits, Tensor):
        # As torchvision's networks name it.
        auxiliary = getattr(network, "aux_logits", False) is True
        out = " (+model.constructor.aux_logits=false)" if auxiliary else ""
        raise InputError(
            f"model: gives a {type(logits).__name__}{mode}, not one tensor; allowed is a network "
            f"without further outputs{out}"
        )
    if tuple(logits.shape) != (images, classes):
        raise InputError(
            f"model: gives outputs of shape {tuple(logits.shape)} for "
            f"{counted(images, 'image')}{mode}; allowed is one logit for each of the "
            f"{classes} classes"
        )


def _explain_failure(
    setup: Setup,
    name: str,
    phase: Phase,
    count: int,
    error: Exception,
    larger_batches: Sequence[int],
) -> str:
    reason, processes = first_line(error), setup.trainer_config.processes
    images = counted(count, "image")
    for larger in larger_batches:
        if _succeeds(partial(_forward_backward, setup, phase, larger)):
            return (
                f"recipe.{name}.batch_size={phase.batch_size}: a training step on {images} a "
                f"process fails ({reason}); allowed is {larger * processes} or more"
            )
    if setting := _setting_at_fault(setup, lambda other: _forward_backward(other, phase, count)):
        return f"{setting}: a training step fails ({reason}); allowed here is false"
    size = tuple(setup.example.shape[1:])
    return (
        f"model: a training step on {images} of {size} fails ({reason}); allowed is a network "
        "that trains on them"
    )


def _setting_at_fault(setup: Setup, attempt: Callable[[Setup], object]) -> str | None:
    """The setting of the model without which an attempt succeeds; None if none is."""
    model = setup.model
    switched_off = {
        "channels_last": replace(model, channels_last=False),
        "live_taps": replace(model, live_taps=False),
    }
    for name, other in switched_off.items():
        if other != model and _succeeds(partial(attempt, replace(setup, model=other))):
            return f"model.{name}=true"
    return None


def _succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except Exception:  # Whatever it is, the first failure is the one that is reported.
        return False
    return True
