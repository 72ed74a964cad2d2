import json
from dataclasses import replace

import pytest
import torch

from lightprune.errors import InputError
from lightprune.pruning.event_record import EventRecord, distance, pruned_share
from lightprune.pruning.masks import Masks
from lightprune.pruning.plan import PruneEvent


def masks(**kept):
    return Masks({name: torch.tensor(values, dtype=torch.bool) for name, values in kept.items()})


KEPT = masks(a=[1, 0, 0, 1], b=[0, 0])
LIVE = masks(a=[1, 1, 0, 0], b=[1, 1])


def record():
    return EventRecord.of(PruneEvent(3, 0.66), KEPT, LIVE, distance=0.4, before=0.9, after=0.5)


def test_a_record_describes_the_event_by_its_masks():
    found = record()

    assert (found.epoch, found.target) == (3, 0.66)
    assert (found.pruned, found.sparsity) == (4, pytest.approx(4 / 6))
    assert found.live_sparsity == pytest.approx(3 / 4)
    assert found.emptied == ("b",)
    assert found.digest == KEPT.digest()
    assert (found.distance, found.before, found.after, found.recovered) == (0.4, 0.9, 0.5, None)


def test_equal_steps_prune_equal_shares_of_what_was_left():
    steps = [replace(record(), live_sparsity=1 - 0.8 ** (n + 1)) for n in range(10)]

    assert [pruned_share(steps[:n]) for n in range(1, 11)] == pytest.approx([0.2] * 10)
    assert pruned_share([replace(record(), live_sparsity=0.95)], given=0.9) == pytest.approx(0.5)
    assert pruned_share([replace(record(), live_sparsity=0.0)]) == 0
    assert pruned_share([record()], given=1.0) == 0


def test_a_record_goes_through_json_and_back():
    assert EventRecord.load(json.loads(json.dumps(record().dump()))) == record()


def test_the_distance_is_the_share_of_the_norm_that_pruning_takes_from_the_live_weights():
    weights = {"a": torch.tensor([3.0, -4.0, 12.0, 7.0]), "b": torch.tensor([0.0, 12.0])}

    assert distance(weights, KEPT, LIVE) == pytest.approx((4**2 + 12**2) ** 0.5 / 13)


def test_nothing_is_moved_where_nothing_is_pruned_or_everything_is_zero():
    weights = {"a": torch.randn(4), "b": torch.randn(2)}
    zeros = {name: torch.zeros_like(weight) for name, weight in weights.items()}

    assert distance(weights, Masks.dense(weights), LIVE) == 0
    assert distance(zeros, KEPT, LIVE) == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_distance_of_weights_of_other_precisions_is_computed_in_float32(dtype):
    weights = {"a": torch.full((4,), 300.0, dtype=dtype), "b": torch.zeros(2, dtype=dtype)}

    assert distance(weights, KEPT, LIVE) == pytest.approx(0.5**0.5)


def test_a_network_without_live_weights_has_a_live_sparsity():
    unreachable = masks(a=[0, 0, 0, 0], b=[0, 0])

    found = EventRecord.of(PruneEvent(0, 0.5), KEPT, unreachable, distance=0, before=0, after=0)

    assert found.live_sparsity == 0


def test_a_record_of_another_version_is_refused_by_name():
    older, newer = record().dump(), {**record().dump(), "later": 1}
    del older["recalibrated"]

    with pytest.raises(InputError, match=r"unknown or missing recalibrated; allowed is a record"):
        EventRecord.load(older)
    with pytest.raises(InputError, match=r"unknown or missing later; allowed is a record"):
        EventRecord.load(newer)
