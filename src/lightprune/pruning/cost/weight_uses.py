"""Which operations of a forward pass multiply with a weight, also outside of its own layer."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from lightprune.pruning.cost.products import PRODUCTS

aten = torch.ops.aten
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Origin:
    """Where the elements of a tensor, or of a storage, come from.

    Attributes:
        ids: The number of the weight that each element holds, over all weights; 0 for none.
        names: The weights in `ids`.
        mixed: Weights that it depends on in another way, as by a sum or a norm.
        owner: Keeps the storage alive: its address must not become another tensor's.
    """

    ids: Tensor
    names: frozenset[str]
    mixed: frozenset[str]
    owner: Tensor


class WeightUses(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the products of weights as the operations of a forward pass do them.

    A weight is followed through views, copies that only rearrange it, and operations that keep its
    shape, such as standardisation, to the matrix products and convolutions that it is part of.

    Attributes:
        paused: Above 0, nothing is followed: the layer that is running is counted otherwise.
        counts: int64 (2, elements) by name: uses of every element in all, and with data.
        read: The weights that an operation read.
        unknown: The weights that went into a product in a way that is not followed.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.paused = 0
        self.counts: dict[str, Tensor] = {}
        self.read: set[str] = set()
        self.unknown: set[str] = set()
        self._weights = weights
        self._starts: dict[str, int] = {}
        self._origins: dict[int, _Origin] = {}
        self._names: dict[int, list[str]] = {}
        start = 1
        for name, weight in weights.items():
            self._starts[name] = start
            start += weight.numel()
            self._names.setdefault(_address(weight), []).append(name)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operation and follows the weights that it reads."""
        kwargs = kwargs or {}
        if not self.paused and _is_compound(func):
            # In inference mode even torch's own compounds, such as `linear`, come here whole.
            with self:
                return func.decompose(*args, **kwargs)
        out = func(*args, **kwargs)
        if not self.paused:
            self._follow(func, args, kwargs, out)
        return out

    def _follow(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        traced = [found for found in map(self._trace, tensors) if found]
        if not traced:
            return
        for found in traced:
            self.read |= found.names
        packet = func.overloadpacket
        if packet in PRODUCTS:
            self._count(packet, args, tensors, out)
            return
        if packet is aten.copy_:
            traced = [found for found in [self._trace(args[1])] if found]
        every = frozenset[str]().union(*(found.names | found.mixed for found in traced))
        for result in tree_leaves(out):
            if not isinstance(result, Tensor) or not result.numel():
                continue
            inplace = any(result is tensor for tensor in tensors)
            if not inplace and _address(result) in self._origins:
                continue  # A view.
            if packet in _REARRANGING:
                ids: Tensor | None = self._rearrange(func, args, kwargs)
                names = frozenset[str]().union(*(found.names for found in traced))
            else:
                ids, names = _keep_shape(traced, result)
            self._store(result, ids, names, every - names)

    def _trace(self, tensor: Tensor) -> _Origin | None:
        address = _address(tensor)
        if not address:
            return None
        if address in self._names and address not in self._origins:
            for name in self._names[address]:
                weight, start = self._weights[name], self._starts[name]
                ids = torch.arange(start, start + weight.numel()).view(weight.shape)
                self._store(weight, ids, frozenset((name,)), _NONE)
        origin = self._origins.get(address)
        if origin is None:
            return None
        if tensor.element_size() != origin.owner.element_size():
            ids = torch.zeros(tensor.shape, dtype=torch.int64)
            return _Origin(ids, _NONE, origin.names | origin.mixed, origin.owner)
        return replace(origin, ids=_viewed(origin.ids, tensor))

    def _store(
        self, tensor: Tensor, ids: Tensor | None, names: frozenset[str], mixed: frozenset[str]
    ) -> None:
        address = _address(tensor)
        if not address:
            return
        old = self._origins.get(address)
        if old is None:
            size = tensor.untyped_storage().nbytes() // tensor.element_size()
            old = _Origin(torch.zeros(size, dtype=torch.int64), _NONE, _NONE, tensor)
        if ids is not None:
            _viewed(old.ids, tensor).copy_(ids)
        self._origins[address] = replace(old, names=old.names | names, mixed=old.mixed | mixed)

    def _rearrange(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        """Does with the numbers of the elements what is done with the elements."""

        def number(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            if not value.is_floating_point():
                return value.cpu()
            found = self._trace(value)
            return found.ids if found else torch.zeros(value.shape, dtype=torch.int64)

        if func.overloadpacket is aten.constant_pad_nd:
            args, kwargs = args[:2], {}
        numbers: Tensor = func(*tree_map(number, args), **tree_map(number, kwargs))
        return numbers

    def _count(self, packet: Any, args: Any, tensors: list[Tensor], out: Any) -> None:
        operands = []
        for operand, applied, data in PRODUCTS[packet](args, out):
            operands.append(operand)
            if found := self._trace(operand):
                self.unknown |= found.mixed
                for name in found.names:
                    self._add(name, found.ids, applied, data)
        for tensor in tensors:
            if not any(tensor is operand for operand in operands) and (
                found := self._trace(tensor)
            ):
                self.unknown |= found.names | found.mixed

    def _add(self, name: str, ids: Tensor, applied: Tensor, data: Tensor) -> None:
        """Counts the uses of those elements of an operand that are of one weight."""
        start, size = self._starts[name], self._weights[name].numel()
        held = (ids >= start) & (ids < start + size)
        totals = self.counts.setdefault(name, torch.zeros(2, size, dtype=torch.int64))
        for total, uses in zip(totals, (applied, data), strict=True):
            total.index_add_(0, ids[held] - start, uses.expand(ids.shape)[held])


@cache
def _is_compound(func: Any) -> bool:
    key = torch._C.DispatchKey.CompositeImplicitAutograd
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key)


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else 0


def _viewed(ids: Tensor, tensor: Tensor) -> Tensor:
    return ids.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


def _keep_shape(traced: list[_Origin], result: Tensor) -> tuple[Tensor | None, frozenset[str]]:
    """The elements of the one weight that an operation keeps the shape of, if there is one."""
    same = [found for found in traced if found.names and found.ids.shape == result.shape]
    if same and all(torch.equal(found.ids, same[0].ids) for found in same[1:]):
        return same[0].ids, same[0].names
    return None, _NONE


# Operations that put the elements of their arguments elsewhere, and change none.
_REARRANGING = {
    aten.cat,
    aten.constant_pad_nd,
    aten.flip,
    aten.gather,
    aten.index,
    aten.index_select,
    aten.repeat,
    aten.roll,
    aten.stack,
}
