"""Networks of torchvision at 95 % through `sparse.compile`: what runs in the runtime, how fast.

    python -m benchmarks.families --out results/families.json --document docs/families.md
    python -m benchmarks.families --networks mobilenet_v2 vit_b_16

Weights are drawn and pruned by torch.nn.utils.prune in each layer alike; batch norms get drawn
scales and shifts, and statistics of random images. Outputs are compared with eager torch at several
batch sizes, and with float64. Then the compiled network and the dense backends take turns in one
process. Networks that --out holds stay in it if the same commit and command measured them on the
same machine; --again begins anew.
"""

import argparse
import copy
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torchvision import models
from torchvision.models import segmentation

from lightprune import sparse
from lightprune.bench.backends import BACKENDS, SPARSE
from lightprune.bench.machine import all_versions, this_machine
from lightprune.bench.model_files import ModelFiles
from lightprune.bench.timing import Timing, TimingBudget, take_turns
from lightprune.errors import first_line
from lightprune.export.loaded_network import LoadedNetwork
from lightprune.files import write_text
from lightprune.models.spec import ModelSpec
from lightprune.provenance import commit, short_commit
from study.families import CompiledNetwork, CompiledNetworks
from study.sparsity_sweep import read_benchmark

SPARSITY = 0.95
Shape = tuple[int, ...]
BATCHES_COMPARED = (1, 2, 7, 16, 33)
# Without torch.compile, which takes minutes for each network.
DENSE = [b for b in BACKENDS if b.dense and not b.needs_compiler and not b.stripped]


class MapsOnly(nn.Module):
    """A segmentation network that returns its maps alone."""

    def __init__(self, build: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.network = build(weights=None, weights_backbone=None)

    def forward(self, images: Tensor) -> Tensor:
        """The logits of every pixel."""
        return self.network(images)["out"]  # type: ignore[no-any-return]


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(256, 8, 1024, activation="gelu", batch_first=True)
    return nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)


FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "alexnet": models.alexnet,
    "vgg16_bn": models.vgg16_bn,
    "resnet50": models.resnet50,
    "squeezenet1_1": models.squeezenet1_1,
    "densenet121": models.densenet121,
    "inception_v3": partial(models.inception_v3, aux_logits=False, init_weights=False),
    "googlenet": partial(models.googlenet, aux_logits=False, init_weights=False),
    "shufflenet_v2_x1_0": models.shufflenet_v2_x1_0,
    "mobilenet_v2": models.mobilenet_v2,
    "mobilenet_v3_large": models.mobilenet_v3_large,
    "resnext50_32x4d": models.resnext50_32x4d,
    "wide_resnet50_2": models.wide_resnet50_2,
    "mnasnet1_0": models.mnasnet1_0,
    "fcn_resnet50": partial(MapsOnly, segmentation.fcn_resnet50),
    "deeplabv3_resnet50": partial(MapsOnly, segmentation.deeplabv3_resnet50),
    "vit_b_16": models.vit_b_16,
    "encoder": encoder,
}
IMAGE, TOKENS = (3, 224, 224), (128, 256)


def pruned(name: str) -> tuple[nn.Module, Shape]:
    """The network with its masks applied, in evaluation mode, and the shape of an input."""
    torch.manual_seed(0)
    network = FAMILIES[name]().eval()
    shape: Shape = TOKENS if name == "encoder" else IMAGE
    for module in network.modules():
        for weight in ("weight", "in_proj_weight"):
            if isinstance(module._parameters.get(weight), nn.Parameter):
                prune_weight(module, weight)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
        norm.train()
        norm.weight.data.mul_(0.5 + torch.rand_like(norm.weight))
        norm.bias.data.add_(0.2 * torch.randn_like(norm.bias))
    if norms:
        with torch.no_grad():
            network(torch.randn(4, *shape))
    for norm in norms:
        norm.eval()
        # Channels without a weight have no variance.
        assert norm.running_var is not None
        norm.running_var.clamp_(min=0.1 * float(norm.running_var.mean()))
    return network, shape


def prune_weight(module: nn.Module, name: str) -> None:
    """Prunes a matrix or kernel; its size stays, so that deep networks' outputs do not vanish."""
    weight = module.get_parameter(name).data
    if weight.dim() < 2:
        return
    if not weight.any():  # vit_b_16's head begins at zero.
        nn.init.normal_(weight, std=0.02)
    size = weight.norm()
    prune.l1_unstructured(module, name, amount=SPARSITY)  # type: ignore[no-untyped-call]
    prune.remove(module, name)  # type: ignore[no-untyped-call]
    weight = module.get_parameter(name).data
    weight *= size / weight.norm()


def inputs_of(shape: Shape, count: int) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(count))


def compared(
    network: nn.Module, compiled: nn.Module, shape: Shape, batches: Sequence[int]
) -> tuple[float, float, float]:
    """The largest differences: to eager torch, to float64, and eager torch's to float64."""
    double = copy.deepcopy(network).double()
    difference = 0.0
    with torch.inference_mode():
        for count in batches:
            inputs = inputs_of(shape, count)
            expected, actual = network(inputs), compiled(inputs)
            difference = max(difference, relative(actual, expected))
        inputs = inputs_of(shape, 2)
        exact = double(inputs.double())
        return difference, relative(compiled(inputs), exact), relative(network(inputs), exact)


def relative(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


def timings(
    name: str,
    network: nn.Module,
    compiled: nn.Module,
    shape: Shape,
    batches: Sequence[int],
    budget: TimingBudget,
) -> tuple[Timing, ...]:
    spec = ModelSpec(name, {}, shape)  # type: ignore[arg-type]  # That of tokens, too.
    timed = []
    with TemporaryDirectory(prefix="lightprune-families-") as folder:
        files = ModelFiles(LoadedNetwork(Path(name), network, spec, run=None), Path(folder))
        runners: dict[str, Callable[[Tensor], Tensor]] = {SPARSE: compiled}
        layouts: dict[str, torch.memory_format] = {}
        for backend in DENSE:
            if backend.missing() or (len(shape) == 2 and backend.layout is torch.channels_last):
                continue
            try:
                runners[backend.name] = backend.build(files, 1)
            except Exception as error:  # Other runtimes may fail in any way.
                print(f"  {backend.name}: {first_line(error)}", file=sys.stderr)
                continue
            layouts[backend.name] = backend.layout
        for batch in batches:
            inputs = inputs_of(shape, batch)
            calls = {}
            for key, runner in runners.items():
                layout = layouts.get(key, torch.contiguous_format)
                calls[key] = partial(runner, inputs.contiguous(memory_format=layout))
            with torch.inference_mode():
                for call in calls.values():
                    call()
                for key, seconds in take_turns(calls, budget).items():
                    timed.append(Timing.of(key, 1, batch, seconds))
    return tuple(timed)


def measure(name: str, options: argparse.Namespace) -> CompiledNetwork:
    network, shape = pruned(name)
    budget = TimingBudget(rounds=options.rounds, total_seconds=options.seconds)
    begin = time.perf_counter()
    compiled = sparse.compile(network, inputs_of(shape, 1))
    with torch.inference_mode():
        compiled(inputs_of(shape, 1))
    seconds = time.perf_counter() - begin
    layers = compiled.layers
    difference, error, eager_error = compared(network, compiled, shape, options.compared)
    measured = CompiledNetwork(
        name,
        macs=sum(layer.macs for layer in layers),
        macs_in_runtime=sum(layer.macs for layer in layers if layer.region),
        regions=len({layer.region for layer in layers if layer.region}),
        left_in_torch=Counter(compiled.left_in_torch),
        difference=difference,
        error=error,
        eager_error=eager_error,
        compile_seconds=seconds,
        timings=timings(name, network, compiled, shape, options.batches, budget),
    )
    print(measured.row(), flush=True)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--compared", type=int, nargs="+", default=BATCHES_COMPARED)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of timing for each batch")
    parser.add_argument("--out", type=Path, help="where the result is kept (JSON)")
    parser.add_argument("--again", action="store_true", help="begin --out anew")
    parser.add_argument("--document", type=Path, help="where its table is written (Markdown)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    # Without --networks: those of several calls are kept together.
    command = f"python -m benchmarks.families --rounds {options.rounds} --seconds {options.seconds}"
    result = CompiledNetworks(command, commit(), all_versions(), this_machine(), SPARSITY, ())
    if options.out and not options.again:
        before = read_benchmark(options.out, CompiledNetworks, "families.py")
        if before and replace(before, networks=()) != result:
            parser.error(
                f"{options.out} holds what commit {short_commit(before.commit)} measured by "
                f"`{before.command}`; --again begins anew"
            )
        result = before or result
    for name in options.networks:
        networks = {network.name: network for network in result.networks}
        networks[name] = measure(name, options)
        result = replace(result, networks=tuple(networks[n] for n in FAMILIES if n in networks))
        if options.out:
            write_text(options.out, result.to_json() + "\n")
        if options.document:
            write_text(options.document, result.document())


if __name__ == "__main__":
    main()
