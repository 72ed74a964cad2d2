"""The scores of many parameters, whatever the kind of criterion and whatever it asks for."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from lightprune.errors import InputError
from lightprune.pruning.criteria.base import (
    AnyCriterion,
    CollectingCriterion,
    CostedCriterion,
    Probe,
    ProbingCriterion,
)
from lightprune.pruning.masks import Masks


def scores(
    criterion: AnyCriterion,
    names: Iterable[str],
    weights: Mapping[str, Tensor],
    masks: Masks,
    macs: Mapping[str, Tensor] | None,
    probe: Probe | None,
) -> dict[str, Tensor]:
    """Scores parameters: all at once, for a probing criterion runs the network at every call.

    Args:
        criterion: Of any kind.
        names: Which of the parameters.
        weights: All of them, floating point, by name.
        masks: What is kept, on the devices of `weights`.
        macs: How often one image has each weight multiply data (`reachability.multiplications`).
        probe: Of the network that the weights are of.

    Returns:
        float32 scores by name, none NaN, of the weights' shapes on their devices.

    Raises:
        InputError: The criterion collects evidence, and there is none yet.
        TypeError: The criterion asks for `macs` or a `probe`, and there is none.
    """
    if isinstance(criterion, CostedCriterion):
        if macs is None:
            raise TypeError(f"{criterion} asks what weights cost: prune(..., macs=...)")
        return {n: criterion.saliency_at(n, weights[n], macs[n]) for n in names}
    if isinstance(criterion, ProbingCriterion | CollectingCriterion):
        if probe is None:
            raise TypeError(f"{criterion} asks the network: prune(..., probe=...)")
        if isinstance(criterion, ProbingCriterion):
            return criterion.saliencies({n: weights[n] for n in names}, masks, probe)
        evidence = probe.collected()
        if not any(found.any() for found in evidence.values()):
            raise InputError(
                f"pruner.criterion={criterion}: it has seen nothing before the first step of "
                "fine-tuning; allowed is a schedule.start above 0"
            )
        return {n: criterion.saliency_of(n, weights[n], evidence[n]) for n in names}
    return {n: criterion.saliency(n, weights[n]) for n in names}
