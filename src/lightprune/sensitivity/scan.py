"""Prunes one layer at a time, re-estimates batch norm, and measures what that costs."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lightprune.pruning.batch_norm import recalibrate
from lightprune.pruning.eval_mode import eval_mode
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.sensitivity.accuracy_curve import Curve
from lightprune.sensitivity.loaded_run import LoadedRun

Say = Callable[[str], None]


@dataclass(frozen=True)
class Measurement:
    """A network pruned to a sparsity: zeros among its weights, images it then classifies right."""

    sparsity: float
    zeros: int
    correct: int


@dataclass(frozen=True)
class LayerScan:
    """One layer, `start` of whose weights are zero, pruned to each sparsity in turn."""

    name: str
    weights: int
    start: int
    points: tuple[Measurement, ...]


@dataclass(frozen=True)
class Scan:
    """What pruning each layer alone does.

    Attributes:
        images: That every accuracy is of.
        correct: How many of them the network classifies right as it is, recalibrated like all.
    """

    images: int
    correct: int
    layers: tuple[LayerScan, ...]

    def drop(self, correct: int) -> float:
        """The accuracy lost where only so many images are classified right."""
        return (self.correct - correct) / self.images

    def curves(self) -> tuple[Curve, ...]:
        """A monotone curve for each layer."""
        return tuple(
            Curve.through(
                layer.name,
                layer.weights,
                layer.start,
                {p.zeros: self.drop(p.correct) for p in layer.points if p.zeros > layer.start},
            )
            for layer in self.layers
        )


def scan_layers(loaded: LoadedRun, sparsities: Sequence[float], say: Say) -> Scan:
    """Measures the network with each layer alone pruned to each sparsity, ascending.

    Where a layer cannot have a sparsity, it has the next it can. `say` gets a line on every layer.
    The network is afterwards as it was before.
    """
    layers: list[LayerScan] = []
    with unchanged(loaded.network):
        correct = _count_correct(loaded)
        images, began = len(loaded.validation.images), time.perf_counter()
        say(f"as it is: {correct / images:.2%} of {images:,} images")
        for done, name in enumerate(loaded.weights, 1):
            layer = _layer(loaded, name, sparsities, correct)
            layers.append(layer)
            remaining = (time.perf_counter() - began) / done * (len(loaded.weights) - done)
            accuracies = " ".join(f"{point.correct / images:.1%}" for point in layer.points)
            say(f"{done} of {len(loaded.weights)}: {name}: {accuracies}; {remaining:.0f} s left")
    return Scan(images, correct, tuple(layers))


def prune_jointly(loaded: LoadedRun, pruner: Pruner, sparsity: float) -> Measurement:
    """Has a pruner prune all layers; the network is afterwards as it was before."""
    with unchanged(loaded.network):
        weights = {name: weight.detach() for name, weight in loaded.weights.items()}
        masks = pruner.prune(weights, _present(weights), sparsity, macs=loaded.macs)
        masks.apply_(weights)
        return Measurement(sparsity, masks.pruned, _count_correct(loaded))


@contextmanager
def unchanged(network: nn.Module) -> Iterator[None]:
    """Gives a network all its weights and buffers back when the block ends."""
    state = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    try:
        yield
    finally:
        network.load_state_dict(state)


def _layer(loaded: LoadedRun, name: str, sparsities: Sequence[float], correct: int) -> LayerScan:
    """Prunes one layer to each sparsity; `correct` images are right before."""
    weight = loaded.weights[name].detach()
    original = weight.clone()
    present = _present({name: original})
    # Small layers have the same number of zeros at several sparsities.
    known = {present.pruned: correct}
    points = []
    for sparsity in sparsities:
        masks = loaded.pruner.prune({name: original}, present, sparsity, macs=loaded.macs)
        if masks.pruned not in known:
            weight.copy_(original)
            masks.apply_({name: weight})
            known[masks.pruned] = _count_correct(loaded)
        points.append(Measurement(sparsity, masks.pruned, known[masks.pruned]))
    weight.copy_(original)
    return LayerScan(name, weight.numel(), present.pruned, tuple(points))


def _present(weights: Mapping[str, Tensor]) -> Masks:
    return Masks({name: weight != 0 for name, weight in weights.items()})


def _count_correct(loaded: LoadedRun) -> int:
    # Batch norms have to fit the weights as they are.
    recalibrate(loaded.network, loaded.calibration)
    with eval_mode(loaded.network):
        hits = [
            (loaded.network(images).argmax(1) == labels).sum()
            for images, labels in loaded.validation
        ]
    return int(torch.stack(hits).sum())
