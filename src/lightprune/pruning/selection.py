"""Takes the lowest-scored weights off a group of tensors: class by class, within bounds."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from lightprune.pruning.radix_select import k_smallest
from lightprune.pruning.scopes import TensorBudget


def prune_group(
    kept: Mapping[str, Tensor],
    scores: Mapping[str, Tensor],
    classes: Sequence[Mapping[str, Tensor]],
    layers: Sequence[TensorBudget],
    zeros: int,
) -> dict[str, Tensor]:
    """Prunes a group of tensors to a number of zeros.

    What a tensor keeps above its maximum goes first, its own lowest weights; then the lowest of
    all, where a tensor at its minimum gives nothing more.

    Args:
        kept: Bool by name, of more tensors than these perhaps.
        scores: float32 by name, none NaN.
        classes: Bool by name: the weights that may go, every one of an earlier class before any
            of a later one.
        layers: The group.
        zeros: How many zeros the group shall have; fewer, if the classes and the minima leave no
            more to prune.

    Returns:
        New masks of these tensors, in the layouts of `kept`.
    """
    scores = {layer.name: scores[layer.name] for layer in layers}
    left = {layer.name: kept[layer.name].clone() for layer in layers}
    counts = {name: int(mask.count_nonzero()) for name, mask in left.items()}
    drop = zeros - sum(layer.size - counts[layer.name] for layer in layers)
    for bounds in (
        {layer.name: layer.size - layer.least for layer in layers},
        {layer.name: layer.size - layer.most for layer in layers},
    ):
        for members in classes:
            room = {name: counts[name] - bounds[name] for name in left}
            if drop <= 0 or max(room.values()) <= 0:
                continue
            among = {name: members[name] & left[name] for name in left}
            among, here = cap_per_layer(scores, among, room)
            for name, chosen in k_smallest(scores, among, min(drop, here)).items():
                left[name].logical_and_(chosen.logical_not())
                counts[name] -= int(chosen.count_nonzero())
            drop -= min(drop, here)
    return left


def cap_per_layer(
    scores: Mapping[str, Tensor], among: Mapping[str, Tensor], room: Mapping[str, int]
) -> tuple[dict[str, Tensor], int]:
    """Leaves each tensor its `room` lowest of the weights in `among`; also says how many in sum."""
    allowed, total = {}, 0
    for name, mask in among.items():
        count = int(mask.count_nonzero())
        few = max(min(count, room[name]), 0)
        one = {name: scores[name]}
        allowed[name] = mask if few == count else k_smallest(one, {name: mask}, few)[name]
        total += few
    return allowed, total
