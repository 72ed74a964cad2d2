"""`compile`: any pruned module, its sparse regions in the runtime, everything else in torch."""

from typing import Any

import torch
from torch import Tensor, nn

from lightprune.errors import InputError, check_choice, check_number
from lightprune.sparse.runtime.layer_table import layer_table
from lightprune.sparse.runtime.region import Partitioned, partition, timed

_Shapes = tuple[torch.Size, ...]


def compile(
    module: nn.Module,
    example: Tensor | tuple[Tensor, ...],
    *,
    threads: int | None = None,
    other_sizes: str = "recompile",
    min_speedup: float = 1.0,
) -> "CompiledModule":
    """Makes a pruned module fast on the CPU, whatever pruned it.

    Operations that the sparse runtime knows run there and skip zero weights; all others run in
    torch, as they would without it. The weights are those at the time of the compilation: compile
    again where they change.

        network = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3))
        for layer in (network[0], network[2]):
            torch.nn.utils.prune.l1_unstructured(layer, "weight", amount=0.95)
        fast = lightprune.sparse.compile(network, torch.zeros(1, 3, 32, 32))

    Args:
        module: Any module that `torch.export` takes, with float32 parameters on the CPU. It is
            used in evaluation mode and not changed.
        example: Its inputs, or its input: tensors on the CPU, float32 or not floating point, whose
            first dimension is the batch.
        threads: At most so many threads a call of the runtime; None follows
            `torch.get_num_threads()`.
        other_sizes: What inputs of other sizes than the example's do: `recompile` the module as it
            is then, or `refuse` (ValueError). Another batch size is no other size, unless the
            module can only be exported for a fixed one.
        min_speedup: How many times as fast as in torch the runtime must run a region on the
            example; a slower one stays in torch. 0 takes every region without measuring.

    Returns:
        A module with the same inputs and outputs; print it to see what runs where.

    Raises:
        InputError: The module or the example cannot be used.
    """
    inputs = (example,) if isinstance(example, Tensor) else tuple(example)
    check_choice("other_sizes", other_sizes, ("recompile", "refuse"))
    check_number("min_speedup", min_speedup, 0)
    if threads is not None:
        check_number("threads", threads, 1, whole=True)
    _check_inputs("example", inputs)
    _check_tensors(module)
    return CompiledModule(module, inputs, threads, other_sizes == "recompile", min_speedup)


class CompiledModule(nn.Module):
    """What `compile` returns: a module in evaluation mode that cannot be trained.

    Printing it shows its layers: where each runs, its non-zero weights and its multiplications.
    """

    def __init__(
        self,
        module: nn.Module,
        example: tuple[Tensor, ...],
        threads: int | None,
        recompile: bool,
        min_speedup: float,
    ) -> None:
        super().__init__()
        self._settings = (threads, min_speedup)
        self._example = example
        # In a tuple: its parameters are not this module's.
        self._source = (module,) if recompile else ()
        self._first = partition(module, example, *self._settings)
        self._any_batch: dict[_Shapes, Partitioned] = {}
        self._fixed: dict[_Shapes, Partitioned] = {}
        self._keep(self._first, example)
        self.eval()

    def forward(self, *inputs: Tensor) -> Any:
        """Computes the module's outputs.

        Raises:
            ValueError: The inputs do not fit the example, or are not float32 on the CPU.
        """
        for tensor, example in zip(inputs, self._example, strict=False):
            if tensor.dtype != example.dtype or tensor.device != example.device:
                raise ValueError(_unlike(inputs, self._example))
        with torch.no_grad():
            return self._partitioned(inputs).exported.network(*inputs)

    def explain(self) -> str:
        """The table of layers with each one's share of the time, measured on the example."""
        return layer_table(self._first.layers, timed(self._first.exported.network, self._example))

    def __repr__(self) -> str:
        return layer_table(self._first.layers, {})

    def train(self, mode: bool = True) -> "CompiledModule":
        """Refuses training mode.

        Raises:
            ValueError: `mode` is True.
        """
        if mode:
            raise ValueError("a compiled module cannot be trained; train the one it was made from")
        return super().train(False)

    def _partitioned(self, inputs: tuple[Tensor, ...]) -> Partitioned:
        partitioned = self._any_batch.get(tuple(t.shape[1:] for t in inputs))
        if partitioned is None or not partitioned.exported.accepts(inputs):
            partitioned = self._fixed.get(tuple(t.shape for t in inputs))
        if partitioned is None:
            same_ranks = [t.dim() for t in inputs] == [t.dim() for t in self._example]
            if not self._source or not same_ranks:
                raise ValueError(_unlike(inputs, self._example))
            partitioned = partition(self._source[0], inputs, *self._settings)
            self._keep(partitioned, inputs)
        return partitioned

    def _keep(self, partitioned: Partitioned, example: tuple[Tensor, ...]) -> None:
        if partitioned.exported.batch is None:
            self._any_batch[tuple(t.shape[1:] for t in example)] = partitioned
        else:
            self._fixed[tuple(t.shape for t in example)] = partitioned


def _unlike(inputs: tuple[Tensor, ...], example: tuple[Tensor, ...]) -> str:
    actual, expected = (
        ", ".join(f"{t.dtype} {tuple(t.shape)} on {t.device}" for t in tensors).replace(
            "torch.", ""
        )
        for tensors in (inputs, example)
    )
    return f"inputs are {actual}: compiled for {expected}"


def _check_inputs(name: str, inputs: tuple[Tensor, ...]) -> None:
    for tensor in inputs:
        if not isinstance(tensor, Tensor):
            raise InputError(f"{name}: {type(tensor).__name__}: allowed are tensors")
        if name == "example" and not tensor.numel():
            raise InputError(f"{name}: of shape {tuple(tensor.shape)}: allowed is one with values")
        if not tensor.is_cpu or (tensor.is_floating_point() and tensor.dtype != torch.float32):
            kind = f"{tensor.dtype} on {tensor.device}".removeprefix("torch.")
            raise InputError(f"{name}: {kind}: allowed is float32 on the CPU")


def _check_tensors(module: nn.Module) -> None:
    if not isinstance(module, nn.Module):
        raise InputError(f"module: {type(module).__name__}: allowed is a torch.nn.Module")
    for name, tensor in {**dict(module.named_parameters()), **dict(module.named_buffers())}.items():
        _check_inputs(f"module: {name}", (tensor,))
        if tensor.is_floating_point() and tensor.isnan().any():
            raise InputError(f"module: {name} holds NaN: allowed are numbers")
