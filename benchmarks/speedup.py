"""How much faster the sparse runtime is, by sparsity, and where it breaks even.

    python -m benchmarks.speedup --out results/speedup.json
    python -m benchmarks.speedup --run outputs/sweeps/reference-fast/... --out results/speedup.json

With --out, a report shows what was measured; the figure lies beside the file.

Networks are pruned by L1 and not trained after it: this is about time, not accuracy. One is pruned
to several sparsities: torchvision's ResNet18, fresh or the dense network of --run. The others are
fresh, at one sparsity. Trained weights are ranked over all layers; fresh ones in each layer, since
their magnitudes depend on their initialisation alone. All of a network's sparsities and the dense
backends take turns in one process.
"""

import argparse
import copy
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file
from torch import nn
from torchvision.models import resnet18, resnet50, vgg16_bn

from lightprune.bench.backends import BACKENDS, SPARSE, select_backends
from lightprune.bench.machine import all_versions, this_machine
from lightprune.bench.model_files import ModelFiles
from lightprune.bench.timing import Timing, TimingBudget, take_turns
from lightprune.cores import available_cores
from lightprune.errors import InputError
from lightprune.export.load import spec_of_run
from lightprune.export.loaded_network import LoadedNetwork
from lightprune.files import write_text
from lightprune.models.from_spec import module_from_spec
from lightprune.models.spec import ModelSpec
from lightprune.models.zoo import resnet18_cifar
from lightprune.provenance import commit
from lightprune.pruning.cost.cost_report import cost_report
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.targets import Targets
from lightprune.runs.folder import RunFolder
from lightprune.sparse.frontend.trace import trace
from study.publish import strip_paths
from study.sparsity_sweep import NetworkSweep, SparsityLevel, SparsitySweep
from study.speed_by_sparsity import speedup_figures

SPARSITIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
# Most weights of VGG are in its linear layers.
CONVOLUTIONS, ALL = Targets(), Targets(types=("Conv2d", "Linear"))
OTHERS = {
    "resnet18_cifar": (resnet18_cifar, CONVOLUTIONS),
    "vgg16_bn": (vgg16_bn, ALL),
    "resnet50": (resnet50, CONVOLUTIONS),
}
OTHERS_SPARSITY = 0.95
# Without torch.compile, which compiles anew for every number of threads.
DENSE = [b for b in BACKENDS if b.dense and not b.needs_compiler]
TRAINED = "trained weights, pruned over all layers"
FRESH = "fresh weights, pruned in each layer alike"
IMAGES = 64
SIZE = (3, 32, 32)


def fresh(constructor: Callable[..., nn.Module]) -> nn.Module:
    """A network with drawn weights whose maps neither vanish nor explode."""
    torch.manual_seed(0)
    network = constructor(num_classes=10)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    with torch.no_grad():
        network.train()(torch.randn(IMAGES, *SIZE))
    return network.eval()


def dense_of(run: Path, cache: Path) -> tuple[nn.Module, ModelSpec]:
    """The dense network that a finished run started from, and its spec."""
    folder = RunFolder(run)
    record = folder.finished()
    file = cache / record.dense.key / "model.safetensors"
    with folder.reading_config():
        spec = spec_of_run(record)
    return module_from_spec(spec, load_file(file)), spec


def fresh_spec(name: str) -> ModelSpec:
    """The spec of a network that no run has trained."""
    return ModelSpec(name, {}, SIZE, (0.5,) * 3, (0.5,) * 3, tuple(map(str, range(10))))


def loaded(network: nn.Module, spec: ModelSpec) -> LoadedNetwork:
    graph = trace(network, spec.input_shape)
    return LoadedNetwork(Path(spec.constructor), network, spec, run=None, stored_graph=graph)


def pruned(
    network: nn.Module, targets: Targets, scope: str, sparsity: float, size: Sequence[int]
) -> tuple[nn.Module, tuple[float, float, float]]:
    """A copy with its smallest weights at zero; its sparsity, live sparsity and MAC density."""
    network = copy.deepcopy(network)
    weights = targets.find(network)
    masks = Pruner(scope=scope).prune(weights, Masks.dense(weights), sparsity)
    masks.apply_({name: weight.detach() for name, weight in weights.items()})
    cost = cost_report(network, weights, torch.zeros(1, *size)).total
    assert cost.mac_density is not None
    return network, (cost.sparsity, cost.live_sparsity, cost.mac_density)


def timings(
    dense: ModelFiles,
    levels: Sequence[LoadedNetwork],
    threads: int,
    batches: Sequence[int],
    budget: TimingBudget,
) -> dict[str, list[Timing]]:
    """Timings by a dense backend's name or a level's number; all of them take turns."""
    torch.set_num_threads(threads)
    (sparse,) = select_backends(SPARSE)
    built = {str(n): (sparse, ModelFiles(level, dense.folder)) for n, level in enumerate(levels)}
    files = {False: dense}
    with suppress(InputError):  # No weight is unreachable.
        files[True] = dense.stripped
    for backend in DENSE:
        if backend.missing() is None and backend.stripped in files:
            built[backend.name] = backend, files[backend.stripped]
    runners = {key: backend.build(files, threads) for key, (backend, files) in built.items()}
    timed: dict[str, list[Timing]] = {key: [] for key in built}
    for batch in batches:
        images = dense.loaded.random_images(batch)
        calls = {
            key: partial(runner, images.contiguous(memory_format=built[key][0].layout))
            for key, runner in runners.items()
        }
        with torch.inference_mode():
            for call in calls.values():
                call()
            for key, seconds in take_turns(calls, budget).items():
                timed[key].append(Timing.of(built[key][0].name, threads, batch, seconds))
    return timed


def logits(level: LoadedNetwork, threads: int) -> tuple[float, float]:
    """The largest difference of the sparse runtime to eager torch, and its largest logit."""
    (sparse,) = select_backends(SPARSE)
    images = level.random_images(IMAGES)
    with torch.inference_mode():
        eager = level.network(images)
    difference = sparse.build(ModelFiles(level, Path()), threads)(images) - eager
    return float(difference.abs().max()), float(eager.abs().max())


def measure(
    spec: ModelSpec,
    weights: str,
    network: nn.Module,
    targets: Targets,
    sparsities: Sequence[float],
    options: argparse.Namespace,
) -> NetworkSweep:
    """One network at every sparsity."""
    name = spec.constructor.rpartition(".")[2]
    print(name, file=sys.stderr, flush=True)
    budget = TimingBudget(rounds=options.rounds, total_seconds=options.seconds)
    scope = "global" if weights == TRAINED else "local"
    copies = [pruned(network, targets, scope, s, spec.input_shape) for s in sparsities]
    levels = [loaded(copied, spec) for copied, _ in copies]
    timed: dict[str, list[Timing]] = {}
    with TemporaryDirectory(prefix="lightprune-speedup-") as folder:
        dense = ModelFiles(loaded(network, spec), Path(folder))
        for threads in options.threads:
            for key, values in timings(dense, levels, threads, options.batches, budget).items():
                timed.setdefault(key, []).extend(values)
    measured = tuple(
        SparsityLevel(
            *shares,
            *logits(level, options.threads[-1]),
            tuple(timed.pop(str(number))),
        )
        for number, ((_, shares), level) in enumerate(zip(copies, levels, strict=True))
    )
    return NetworkSweep(name, weights, measured, tuple(t for each in timed.values() for t in each))


def networks(options: argparse.Namespace) -> Iterator[NetworkSweep]:
    if options.run:
        weights, (dense, spec) = TRAINED, dense_of(options.run, options.dense_dir)
    else:
        weights, dense, spec = FRESH, fresh(resnet18), fresh_spec("resnet18")
    yield measure(spec, weights, dense, CONVOLUTIONS, options.sparsities, options)
    for name in options.others:
        constructor, targets = OTHERS[name]
        network = fresh(constructor)
        yield measure(fresh_spec(name), FRESH, network, targets, [OTHERS_SPARSITY], options)


def show(network: NetworkSweep) -> None:
    print(f"\n{network.name} ({network.weights})")
    for level in network.levels:
        columns = []
        for threads, batch in network.thread_batches:
            at = network.speedup(level, threads, batch)
            assert at.sparse is not None
            over = [f"{ratio:.2f}" if ratio else "-" for ratio in (at.over_dense, at.over_stripped)]
            columns.append(f"{threads}x{batch}: {1e3 * at.sparse:.3g} ms {'/'.join(over)}")
        print(
            f"  {level.sparsity:7.2%} MACs {level.mac_density:6.1%} "
            f"|Δ| {level.max_logit_difference:.0e} of {level.max_logit:.1e}  {'  '.join(columns)}"
        )
    for threads, batch in network.thread_batches:
        print(f"  break-even {threads}x{batch}: {network.break_even(threads, batch)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", type=Path, help="a finished run, whose dense network is pruned")
    parser.add_argument("--dense-dir", type=Path, default=Path("outputs/dense"))
    parser.add_argument("--sparsities", type=float, nargs="+", default=SPARSITIES)
    parser.add_argument("--others", nargs="*", choices=[*OTHERS], default=[*OTHERS])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64])
    cores = sorted({1, available_cores()})
    parser.add_argument("--threads", type=int, nargs="+", default=cores)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=15.0, help="of timing for each batch")
    parser.add_argument("--out", type=Path, help="where a report reads the result (JSON)")
    options = parser.parse_args()
    options.sparsities = sorted(set(options.sparsities))
    measured = tuple(networks(options))
    command = strip_paths(shlex.join(["python", "-m", "benchmarks.speedup", *sys.argv[1:]]))
    sweep = SparsitySweep(command, commit(), all_versions(), this_machine(), measured)
    for network in measured:
        show(network)
    if options.out:
        write_text(options.out, sweep.to_json() + "\n")
        for figure in speedup_figures(sweep):
            figure.write(options.out.parent)
    print(
        "(threads x batch: sparse ms, times as fast as the fastest dense backend / dense stripped)"
    )


if __name__ == "__main__":
    main()
