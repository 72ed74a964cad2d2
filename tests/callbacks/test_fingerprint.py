"""A checkpoint of another pruner, plan or network, or of another version, is refused by name."""

import pytest

from lightprune.callbacks.fingerprint import check_compatible, fingerprint_of
from lightprune.errors import InputError
from lightprune.pruning.criteria import Lamp, Magnitude
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.schedules import OneShot
from tests.training.small import plan, session

PLAN = OneShot(sparsity=0.5).plan(2)


def fingerprint(pruner):
    return fingerprint_of(pruner, PLAN)


def test_another_setting_is_refused_with_both_values():
    check_compatible(fingerprint(Pruner()), fingerprint(Pruner()))
    with pytest.raises(InputError, match=r"its pruner is cap=1\.0, this run's is cap=0\.5"):
        check_compatible(fingerprint(Pruner()), fingerprint(Pruner(cap=0.5)))


def test_a_checkpoint_without_a_setting_is_refused_by_its_name():
    saved = fingerprint(Pruner())
    del saved["pruner"]["cap"]

    with pytest.raises(InputError, match=r"its pruner is cap=None, this run's is cap=1\.0"):
        check_compatible(saved, fingerprint(Pruner()))


def test_a_checkpoint_of_another_version_is_refused_in_one_line(tmp_path):
    fitted = session(tmp_path, plan((0, 0.5), epochs=1)).fit().pruning
    saved = fitted.state_dict()
    saved["belongs_to"] = saved.pop("fingerprint")

    with pytest.raises(InputError, match=r"saved by another version of lightprune; allowed is"):
        fitted.load_state_dict(saved)


@pytest.mark.parametrize(
    ("saved", "current"),
    [
        (Pruner(Magnitude()), Pruner(Lamp())),
        (Pruner(Magnitude("l2")), Pruner()),
        (Pruner(scope="local"), Pruner()),
        (Pruner(), Pruner(Lamp(), seed=1)),
    ],
    ids=str,
)
def test_another_pruner_is_refused(saved, current):
    with pytest.raises(InputError, match="checkpoint: its pruner is "):
        check_compatible(fingerprint(saved), fingerprint(current))
