"""How much faster the sparse runtime is, by sparsity, and where it breaks even.

    python -m benchmarks.speedup --out results/speedup.json
    python -m benchmarks.speedup --run outputs/sweeps/reference-fast/... --out results/speedup.json

With --out, a report shows what was measured; the figure lies beside the file.

Networks are pruned by L1 and not trained after it: this is about time, not accuracy. One is pruned
to several sparsities: torchvision's ResNet18, fresh or the dense network of --run. The others are
fresh, at one sparsity. Trained weights are ranked over all layers; fresh ones in each layer, since
their magnitudes tell how they were drawn and nothing else. All of a network's sparsities and the
dense engines take turns in one process.
"""

import argparse
import copy
import shlex
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file
from torch import nn
from torchvision.models import resnet18, resnet50, vgg16_bn

from lightprune.bench.backends import EAGER, SPARSE, STRIPPED, select_backends
from lightprune.bench.loaded_network import LoadedNetwork
from lightprune.bench.machine import all_versions, available_cores, this_machine
from lightprune.bench.model_files import ModelFiles
from lightprune.bench.sparsity_sweep import NetworkSweep, SparsityLevel, SparsitySweep
from lightprune.bench.timing import Timing, TimingBudget, take_turns
from lightprune.errors import InputError
from lightprune.files import write_text
from lightprune.models.from_spec import module_from_spec
from lightprune.models.spec import ModelSpec
from lightprune.models.zoo import resnet18_cifar
from lightprune.provenance import commit
from lightprune.pruning.cost import cost_report
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.targets import Targets
from lightprune.report.build import write_figure
from lightprune.runs.folder import RunFolder
from lightprune.sparse.frontend.trace import trace
from study.publish import strip_paths
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
DENSE = f"{EAGER},channels-last,onnx,{STRIPPED}"
TRAINED = "trained weights, pruned over all layers"
FRESH = "fresh weights, pruned in each layer alike"
IMAGES = 64
SIZE = (3, 32, 32)


def fresh(constructor):
    """A network with drawn weights whose maps neither vanish nor explode."""
    torch.manual_seed(0)
    network = constructor(num_classes=10)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    with torch.no_grad():
        network.train()(torch.randn(IMAGES, *SIZE))
    return network.eval()


def dense_of(run, cache):
    """The dense network that a finished run started from, and its description."""
    record = RunFolder(run).record()
    if record is None:
        raise InputError(f"--run={run}: is not finished; allowed is the folder of a finished run")
    file = cache / record["dense"]["key"] / "model.safetensors"
    described = ModelSpec.of_run(record)
    return module_from_spec(described, load_file(file)), described


def drawn(name):
    """What is told of a network that no run has trained."""
    return ModelSpec(name, {}, SIZE, (0.5,) * 3, (0.5,) * 3, tuple(map(str, range(10))))


def subject(network, described):
    """A network as the engines take it."""
    size = described.input_shape
    return LoadedNetwork(
        Path(described.constructor), network, described, trace(network, size), None
    )


def pruned(network, targets, scope, sparsity, size):
    """A copy with its smallest weights at zero, and its costs."""
    network = copy.deepcopy(network)
    weights = targets.find(network)
    masks = Pruner(scope=scope).prune(weights, Masks.dense(weights), sparsity)
    masks.apply_({name: weight.detach() for name, weight in weights.items()})
    return network, cost_report(network, weights, torch.zeros(1, *size)).total


class Contest:
    """A dense network in the dense engines, and its pruned copies in the sparse runtime."""

    def __init__(self, dense, levels):
        """Takes the dense network's files, and the levels: a subject and its costs each."""
        self.dense, self.levels = dense, levels
        self.engines = [e for e in select_backends(DENSE) if e.missing() is None]

    def differences(self, sparse):
        """Of every level: the largest difference to eager torch, and its largest logit."""
        images = self.dense.subject.images(IMAGES)
        for (level, _), runner in zip(self.levels, sparse, strict=True):
            with torch.inference_mode():
                eager = level.network(images)
            yield float((runner(images) - eager).abs().max()), float(eager.abs().max())

    def timings(self, threads, batches, effort):
        """The sparse runners, and Timings by contender: an engine's name, or a level's number."""
        torch.set_num_threads(threads)
        engine = select_backends(SPARSE)[0]
        folder = self.dense.folder
        sparse = [engine.build(ModelFiles(level, folder), threads) for level, _ in self.levels]
        runners = {e.name: (e.build(self.dense, threads), e.layout) for e in self.engines}
        runners |= {n: (runner, torch.contiguous_format) for n, runner in enumerate(sparse)}
        found = {contender: [] for contender in runners}
        for batch in batches:
            images = self.dense.subject.images(batch)
            calls = {
                contender: partial(runner, images.contiguous(memory_format=layout))
                for contender, (runner, layout) in runners.items()
            }
            with torch.inference_mode():
                for call in calls.values():
                    call()
                for contender, seconds in take_turns(calls, effort).items():
                    name = SPARSE if isinstance(contender, int) else contender
                    found[contender].append(Timing.of(name, threads, batch, seconds))
        return sparse, found


def measure(described, weights, network, targets, sparsities, asked):
    """One network at every sparsity."""
    name = described.constructor.rpartition(".")[2]
    print(name, file=sys.stderr, flush=True)
    effort = TimingBudget(rounds=asked.rounds, cell=asked.seconds)
    scope = "global" if weights == TRAINED else "local"
    size = described.input_shape
    copies = [pruned(network, targets, scope, sparsity, size) for sparsity in sparsities]
    with TemporaryDirectory(prefix="lightprune-speedup-") as folder:
        dense = ModelFiles(subject(network, described), Path(folder))
        contest = Contest(dense, [(subject(copied, described), cost) for copied, cost in copies])
        found = {}
        for threads in asked.threads:
            sparse, timed = contest.timings(threads, asked.batches, effort)
            for contender, timings in timed.items():
                found.setdefault(contender, []).extend(timings)
        differences = contest.differences(sparse)
        levels = [
            SparsityLevel(
                cost.sparsity, cost.live_sparsity, cost.mac_density, *seen, tuple(found[number])
            )
            for number, ((_, cost), seen) in enumerate(zip(copies, differences, strict=True))
        ]
    timings = tuple(timing for engine in contest.engines for timing in found[engine.name])
    return NetworkSweep(name, weights, tuple(levels), timings)


def networks(asked):
    """Each measured as it is asked for."""
    weights, dense, described = FRESH, None, drawn("resnet18")
    if asked.run:
        weights = TRAINED
        dense, described = dense_of(asked.run, asked.dense_dir)
    dense = dense or fresh(resnet18)
    yield measure(described, weights, dense, CONVOLUTIONS, asked.sparsities, asked)
    for name in asked.others:
        constructor, targets = OTHERS[name]
        network = fresh(constructor)
        yield measure(drawn(name), FRESH, network, targets, [OTHERS_SPARSITY], asked)


def show(network):
    """Prints one network."""
    print(f"\n{network.name} ({network.weights})")
    for level in network.levels:
        cells = []
        for threads, batch in network.cells:
            at = network.compared(level, threads, batch)
            over = [f"{ratio:.2f}" if ratio else "-" for ratio in (at.over_dense, at.over_stripped)]
            cells.append(f"{threads}x{batch}: {1e3 * at.sparse:.3g} ms {'/'.join(over)}")
        print(
            f"  {level.sparsity:7.2%} MACs {level.mac_density:6.1%} "
            f"|Δ| {level.largest_difference:.0e} of {level.largest_logit:.1e}  {'  '.join(cells)}"
        )
    for threads, batch in network.cells:
        print(f"  break-even {threads}x{batch}: {network.break_even(threads, batch)}")


def main():
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
    asked = parser.parse_args()
    asked.sparsities = sorted(set(asked.sparsities))
    measured = tuple(networks(asked))
    command = strip_paths(shlex.join(["python", "-m", "benchmarks.speedup", *sys.argv[1:]]))
    found = SparsitySweep(command, commit(), all_versions(), this_machine(), measured)
    for network in measured:
        show(network)
    if asked.out:
        write_text(asked.out, found.to_json() + "\n")
        for figure in speedup_figures(found):
            write_figure(figure, asked.out.parent)
    print("(threads x batch: sparse ms, times as fast as the fastest dense engine / stripped)")


if __name__ == "__main__":
    main()
