"""What a checkpoint belongs to, also when an earlier version described it."""

import pytest

from lightprune.callbacks.fingerprint import check_compatible, fingerprint_of
from lightprune.errors import InputError
from lightprune.pruning.criteria import Lamp, Magnitude
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.schedules import OneShot

PLAN = OneShot(sparsity=0.5).plan(2)


def described(pruner):
    return fingerprint_of(pruner, PLAN, {})


def test_a_setting_that_came_later_has_its_default_in_older_checkpoints():
    older = described(Pruner())
    for later in ("cap", "pattern", "regrowth"):
        del older["pruner"][later]
    older["pruner"]["criterion"] = f"lightprune.pruning.criteria.{older['pruner']['criterion']}"

    check_compatible(older, described(Pruner()))
    with pytest.raises(InputError, match=r"its pruner is cap=1\.0, this run's is cap=0\.5"):
        check_compatible(older, described(Pruner(cap=0.5)))


@pytest.mark.parametrize(
    ("theirs", "mine"),
    [
        (Pruner(Magnitude()), Pruner(Lamp())),
        (Pruner(Magnitude("l2")), Pruner()),
        (None, Pruner()),
        (Pruner(), None),
    ],
    ids=str,
)
def test_another_pruner_is_refused(theirs, mine):
    with pytest.raises(InputError, match="checkpoint: its pruner is "):
        check_compatible(described(theirs), described(mine))
