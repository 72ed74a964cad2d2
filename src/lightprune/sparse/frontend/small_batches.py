"""Whether a network computes for no image or one in another way than for several."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.utils import _pytree as pytree

from lightprune.pruning.eval_mode import eval_mode

_Inputs = tuple[Tensor, ...]


class _SameRanks(fx.Interpreter):
    """Runs a network, and refuses values of other ranks than the traced ones."""

    def run_node(self, n: fx.Node) -> Any:
        value, traced = super().run_node(n), n.meta.get("val")
        if isinstance(value, Tensor) and isinstance(traced, Tensor) and value.dim() != traced.dim():
            raise ValueError(f"{n.name} has {value.dim()} dimensions, not {traced.dim()}")
        return value


def unlike_batches(module: nn.Module, exported: fx.GraphModule, example: _Inputs) -> frozenset[int]:
    """The batch sizes, of 0 and 1, for which an exported module is not what the module is.

    torch.export takes a free batch for one of two or more, and sets no guard where that decides a
    condition of the module's; nor does it where an operator takes the dimension of one image away.
    """
    example = informative(example)
    with eval_mode(module), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Such as of the mean of nothing.
        return frozenset(n for n in (0, 1) if not _agree(module, exported, example, n))


def _agree(module: nn.Module, exported: fx.GraphModule, example: _Inputs, count: int) -> bool:
    try:
        expected = _results(module, example, count)
    except Exception:  # The module's code may raise anything; there is nothing to agree with.
        return True
    try:
        with _same_draws():
            actual = _SameRanks(exported).run(*(t[:count] for t in example))
        return is_close(actual, expected)
    except Exception:
        return False


def treats_one_alike(module: nn.Module, example: _Inputs) -> bool:
    """Whether the first image's numbers are the same by itself as in the example's batch.

    On the meta device, where there are no numbers, it is.
    """
    if any(t.is_meta for t in example):
        return True
    example = informative(example)
    with (
        eval_mode(module),
        warnings.catch_warnings(),
        torch.autocast("cpu", enabled=False),  # Its rounding would tell them apart.
    ):
        warnings.simplefilter("ignore")
        try:
            single, batch = (_results(module, example, n) for n in (1, None))
        except Exception:  # As in `_agree`.
            return True
        return is_close(single.flatten(), batch[:1].flatten())


def _results(module: nn.Module, example: _Inputs, count: int | None) -> Any:
    """What a module computes for the first images; it may change copies of buffers and inputs.

    What it draws at random depends on the shapes alone.
    """
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    with _same_draws():
        return functional_call(module, buffers, tuple(t[:count].clone() for t in example))


@contextmanager
def _same_draws() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield


def informative(example: _Inputs) -> _Inputs:
    """The inputs, but other numbers for those of zeros, whose results may agree by chance."""
    return tuple(
        torch.linspace(-1, 1, t.numel(), dtype=t.dtype, device=t.device).view(t.shape)
        if t.is_floating_point() and not t.any()
        else t
        for t in example
    )


def is_close(actual: Any, expected: Any) -> bool:
    """Whether results have the same structure and shapes, and the same values but for rounding."""
    (actual, form), (expected, other_form) = map(pytree.tree_flatten, (actual, expected))
    return form == other_form and all(map(_is_value_close, actual, expected))


def _is_value_close(actual: Any, expected: Any) -> bool:
    if not isinstance(actual, Tensor) or not isinstance(expected, Tensor):
        return bool(actual == expected)
    if (actual.shape, actual.dtype) != (expected.shape, expected.dtype):
        return False
    if not expected.numel():
        return True
    scale = float(expected.double().nan_to_num(0, 0, 0).abs().mean())
    return torch.allclose(actual, expected, 1e-3, 1e-3 * scale, equal_nan=True)
