"""What pruning costs: training steps, prune events, memory, growth.

    python benchmarks/pruning_cost.py

Beside torch.nn.utils.prune and Lightning's ModelPruning on the same work. Steps are paired: the
contenders take turns, each on its own network; memory is the growth of a fresh process'
peak over one prune event.
"""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.queues import Queue
from pathlib import Path

import torch
import torch.nn.functional as F
from lightning import LightningModule
from lightning.pytorch.callbacks import ModelPruning
from torch import nn
from torch.nn.utils import prune
from torchvision.models import resnet18

from lightprune.models.model import Model
from lightprune.pruning.event_record import EventRecord, distance
from lightprune.pruning.masks import Masks
from lightprune.pruning.plan import PruneEvent
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.reachability import live_masks
from lightprune.pruning.sparsifier import Sparsifier
from lightprune.pruning.targets import Targets

SPARSITY = 0.98
STEPS = 50


def before_event(network: nn.Module) -> Sparsifier:
    """What PruningCallback holds before its first event."""
    return Sparsifier(network, targets=Targets(), example=torch.zeros(1, 3, 32, 32))


def lightprune_event(sparsifier: Sparsifier) -> None:
    """Prunes as the experiment's callback does, with all it records but the two evaluations."""
    assert sparsifier.macs is not None
    live = live_masks(sparsifier.weights, sparsifier.macs)
    masks = sparsifier.next_masks(SPARSITY)
    moved = distance(sparsifier.weights, masks, live)
    sparsifier.hold_(masks)
    EventRecord.of(PruneEvent(0, SPARSITY), masks, live, distance=moved, before=0.0, after=0.0)


def convolutions(network: nn.Module) -> list[tuple[nn.Conv2d, str]]:
    return [(m, "weight") for m in network.modules() if isinstance(m, nn.Conv2d)]


def torch_prune(network: nn.Module) -> None:
    prune.global_unstructured(
        convolutions(network), pruning_method=prune.L1Unstructured, amount=SPARSITY
    )


class Wrapped(LightningModule):
    """A LightningModule around a network, for Lightning's callback."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network


def lightning_prune(network: nn.Module) -> None:
    module = Wrapped(network)
    callback = ModelPruning("l1_unstructured", convolutions(network), amount=SPARSITY)
    callback.setup(None, module, "fit")  # type: ignore[arg-type]  # It reads no trainer.
    callback.apply_pruning(SPARSITY)


class Stepper:
    """A network in training, timed step by step."""

    def __init__(self, kind: str, batch: int) -> None:
        torch.manual_seed(0)
        plain = kind in ("torch.nn.utils.prune", "no pruning, contiguous")
        self.network = Model(resnet18, channels_last=not plain, live_taps=not plain).build(10)
        sparsifier = before_event(self.network) if kind == "lightprune" else None
        if sparsifier:
            lightprune_event(sparsifier)
        elif kind == "torch.nn.utils.prune":
            torch_prune(self.network)
        layout = torch.contiguous_format if plain else torch.channels_last
        self.images = torch.randn(batch, 3, 32, 32).contiguous(memory_format=layout)
        self.labels = torch.randint(0, 10, (batch,))
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True
        )
        if sparsifier:
            sparsifier.attach(self.optimizer)

    def step(self) -> float:
        """Seconds of one step."""
        start = time.perf_counter()
        loss = F.cross_entropy(self.network(self.images), self.labels)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return time.perf_counter() - start


def steps(batch: int) -> None:
    kinds = ("no pruning", "lightprune", "no pruning, contiguous", "torch.nn.utils.prune")
    steppers = {kind: Stepper(kind, batch) for kind in kinds}
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(STEPS + 3):
        for kind, stepper in steppers.items():
            seconds[kind].append(stepper.step())
    print(f"\ntraining step, batch {batch}, median of {STEPS}")
    bases = {"lightprune": "no pruning", "torch.nn.utils.prune": "no pruning, contiguous"}
    for kind in kinds:
        times = seconds[kind][3:]
        text = f"  {kind:26}{statistics.median(times) * 1e3:9.1f} ms"
        if kind in bases:
            pairs = zip(times, seconds[bases[kind]][3:], strict=True)
            ratio = statistics.median(times) / statistics.median(seconds[bases[kind]][3:])
            paired = statistics.median(duration / base for duration, base in pairs)
            text += f"   {ratio:.3f} x {bases[kind]} (median of pairs {paired:.3f})"
        print(text)


def peak() -> tuple[int, int]:
    """Peak resident memory of this process since the last reset, and its current one, in bytes."""
    status = Path("/proc/self/status").read_text("utf-8").splitlines()
    values = {line.split(":")[0]: line.split()[1] for line in status if line.startswith("Vm")}
    return int(values["VmHWM"]) * 1024, int(values["VmRSS"]) * 1024


def event(kind: str | int, queue: "Queue[tuple[float, float]]") -> None:
    """Seconds and extra memory of one prune event, in a fresh process."""
    torch.manual_seed(0)
    if isinstance(kind, int):
        weights = {"weight": torch.randn(kind)}
        total = kind
        work: Callable[[], object] = lambda: Pruner().prune(  # noqa: E731
            weights, Masks.dense(weights), SPARSITY
        )
    else:
        network = resnet18(num_classes=10)
        total = sum(m.weight.numel() for m, _ in convolutions(network))
        if kind == "lightprune":
            work = partial(lightprune_event, before_event(network))
        else:
            torch_or_lightning = torch_prune if kind == "torch.nn.utils.prune" else lightning_prune
            work = partial(torch_or_lightning, network)
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before = peak()[1]
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    queue.put((seconds, (peak()[0] - before) / (4 * total)))


def events(kinds: Sequence[str | int], title: str, rounds: int = 3) -> None:
    spawn = multiprocessing.get_context("spawn")
    print(f"\n{title}, median of {rounds} fresh processes")
    for kind in kinds:
        results = []
        for _ in range(rounds):
            queue: Queue[tuple[float, float]] = spawn.Queue()
            process = spawn.Process(target=event, args=(kind, queue))
            process.start()
            results.append(queue.get())
            process.join()
        seconds, memory = (statistics.median(column) for column in zip(*results, strict=True))
        name = f"{kind:,} weights" if isinstance(kind, int) else kind
        print(f"  {name:26}{seconds:9.3f} s   {memory:5.2f} x the weights of extra memory")


def main() -> None:
    print(f"{torch.get_num_threads()} threads")
    for batch in (128, 512):
        steps(batch)
    events(
        ("lightprune", "torch.nn.utils.prune", "Lightning ModelPruning"),
        f"one prune event, ResNet18 to {SPARSITY:.0%} globally",
    )
    events((10_000_000, 25_000_000, 50_000_000, 100_000_000), "lightprune, growth", rounds=1)


if __name__ == "__main__":
    main()
