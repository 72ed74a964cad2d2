"""`compile`: any pruned module, its sparse regions in the runtime, everything else in torch."""

import copy
import os
import threading
from collections.abc import Callable
from typing import Any, NoReturn, Self

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lightprune.errors import InputError, check_choice, check_number
from lightprune.sparse.runtime.layer_table import Layer, layer_table
from lightprune.sparse.runtime.module_inputs import check_inputs, kind_of, unlike
from lightprune.sparse.runtime.network import SparseNetwork
from lightprune.sparse.runtime.region import Partitioned, computed_tensors, partition, timed

_Shapes = tuple[torch.Size, ...]
# Sizes of inputs that stay compiled, so that a service's memory does not grow with every new one.
_MOST_SIZES = 64
# torch.export is for one thread at a time.
_compiling = threading.Lock()


def _reset_after_fork() -> None:
    global _compiling
    _compiling = threading.Lock()


if hasattr(os, "register_at_fork"):
    # Forked while another thread compiles: nobody in the child would ever release its lock.
    os.register_at_fork(after_in_child=_reset_after_fork)


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
            module can only be exported for a fixed one, or has a branch of its own for one image
            or none. The last 64 sizes stay compiled.
        min_speedup: How many times as fast as in torch the runtime must run a region on the
            example; a slower one stays in torch. If all in all the module is not so many times as
            fast as before, a copy of it runs as it is, if it can be copied. 0 takes every region
            without measuring.

    Returns:
        A module with the same inputs and outputs; print it to see what runs where.

    Raises:
        InputError: The module or the example cannot be used.
    """
    if not isinstance(example, Tensor | tuple | list):
        # No iterator: a DataLoader would be read to its end.
        raise InputError(
            f"example: {type(example).__name__}: allowed is a tensor or a tuple of tensors"
        )
    inputs = (example,) if isinstance(example, Tensor) else tuple(example)
    check_choice("other_sizes", other_sizes, ("recompile", "refuse"))
    check_number("min_speedup", min_speedup, 0)
    if threads is not None:
        check_number("threads", threads, 1, whole=True)
    check_inputs("example", inputs)
    _check_tensors(module)
    return CompiledModule(module, inputs, threads, other_sizes == "recompile", min_speedup)


class CompiledModule(nn.Module):
    """What `compile` returns: a module in evaluation mode that cannot be trained.

    Printing it shows its layers: where each runs, its non-zero weights and its multiplications,
    and how many times as fast as torch each region was on the example.
    Several threads may call it at the same time. It can be copied, not pickled.
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
        with _compiling, torch.autocast("cpu", enabled=False):
            self._first = partition(module, example, *self._settings)
        self._any_batch: dict[_Shapes, Partitioned] = {}
        self._fixed: dict[_Shapes, Partitioned] = {}
        self._keep(self._first, example)
        self.eval()

    def forward(self, *inputs: Tensor) -> Any:
        """Computes the module's outputs, in float32 under `torch.autocast` too.

        Raises:
            ValueError: The inputs do not fit the example, or are not float32 on the CPU.
        """
        kinds, expected = (
            [isinstance(t, Tensor) and (t.dtype, t.device, t.dim()) for t in tensors]
            for tensors in (inputs, self._example)
        )
        if kinds != expected:
            raise ValueError(unlike(inputs, self._example))
        if torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return self.forward(*inputs)
        with torch.no_grad():
            return self._partitioned(inputs).network(*inputs)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Its convolutions and linear layers, and where each runs."""
        return self._first.layers

    @property
    def left_in_torch(self) -> tuple[str, ...]:
        """The names of the operations that torch runs, one for each call."""
        nodes = self._first.exported.network.graph.nodes
        calls = (node.target for node in nodes if node.op == "call_function")
        return tuple(getattr(call, "__name__", str(call)).partition(".")[0] for call in calls)

    def explain(self) -> str:
        """The table of layers with each region's share of the time, measured on the example."""
        if self._first.module is not None:
            return repr(self)
        with torch.autocast("cpu", enabled=False):
            seconds = timed(self._first.exported.network, self._example)
        return layer_table(self._first.layers, self._first.speedups, seconds)

    def __repr__(self) -> str:
        table = layer_table(self._first.layers, self._first.speedups, {})
        if self._first.module is not None:
            return f"{table}\nthe module runs as it is: compiled, it would not be faster"
        return table

    def train(self, mode: bool = True) -> "CompiledModule":
        """Refuses training mode.

        Raises:
            ValueError: `mode` is True.
        """
        if mode:
            raise ValueError("a compiled module cannot be trained; train the one it was made from")
        return super().train(False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        converted = fn(torch.zeros(1))
        if converted.dtype is not torch.float32 or not converted.is_cpu:
            raise ValueError(
                f"a compiled module computes in float32 on the CPU: not in {kind_of(converted)}"
            )
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        for module in self._source:
            memo.update(computed_tensors(module))
        copied = memo[id(self)] = type(self).__new__(type(self))
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return copied

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(
            "a compiled module cannot be pickled; pickle the one it was made from, and compile that"
        )

    def _partitioned(self, inputs: tuple[Tensor, ...]) -> Partitioned:
        partitioned = self._compiled_for(inputs)
        if partitioned is None:
            if not self._source:
                raise ValueError(unlike(inputs, self._example))
            with _compiling:
                # Another thread may have done it meanwhile.
                partitioned = self._compiled_for(inputs)
                if partitioned is None:
                    partitioned = partition(self._source[0], inputs, *self._settings)
                    self._keep(partitioned, inputs)
        return partitioned

    def _compiled_for(self, inputs: tuple[Tensor, ...]) -> Partitioned | None:
        partitioned = self._any_batch.get(tuple(t.shape[1:] for t in inputs))
        if partitioned is None or not partitioned.exported.accepts(inputs):
            partitioned = self._fixed.get(tuple(t.shape for t in inputs))
        return partitioned

    def _keep(self, partitioned: Partitioned, example: tuple[Tensor, ...]) -> None:
        any_batch = partitioned.exported.batch is None
        kept = self._any_batch if any_batch else self._fixed
        kept[tuple(t.shape[any_batch:] for t in example)] = partitioned
        if len(kept) > _MOST_SIZES:
            del kept[next(iter(kept))]


def _check_tensors(module: nn.Module) -> None:
    if not isinstance(module, nn.Module):
        raise InputError(f"module: {type(module).__name__}: allowed is a torch.nn.Module")
    for name, part in module.named_modules():
        if isinstance(part, CompiledModule | SparseNetwork):
            raise InputError(
                f"module: {name or type(part).__name__} is compiled already: allowed is the module "
                "that it was made from"
            )
    for name, tensor in {**dict(module.named_parameters()), **dict(module.named_buffers())}.items():
        if is_lazy(tensor):
            raise InputError(f"module: {name} has no shape yet: allowed is a module once called")
        check_inputs(f"module: {name}", (tensor,))
        if tensor.is_floating_point() and tensor.isnan().any():
            raise InputError(f"module: {name} holds NaN: allowed are numbers")
