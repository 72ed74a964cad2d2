"""What the kills call a repeat, where a teacher and its network have the same lines."""

from types import SimpleNamespace

import pytest

from tests.system.faults.kills import ENDED, repeated


def lines(*epochs):
    return SimpleNamespace(progress=[f"dense epoch {epoch}/2  loss 1.0" for epoch in epochs])


@pytest.mark.parametrize(
    ("saved", "clean", "again"),
    [
        ((), (1, 2, 1, 2), None),
        ((0,), (1, 2, 1, 2), None),
        ((0, 0), (1, 2, 1, 2), None),
        ((1,), (2,), (1, 2)),
        ((1, 0), (2, 1, 2), (1, 2, 1, 2)),
        ((2, 0), (1, 2), None),
        ((ENDED, 0), (1, 2), (1, 2, 1, 2)),
        ((ENDED, 1), (2,), (1, 2)),
        ((ENDED, ENDED), (), (1,)),
        ((ENDED,), (), (1,)),
    ],
)
def test_only_what_was_saved_is_a_repeat(saved, clean, again):
    before = {"dense epoch": saved}

    assert repeated(lines(*clean), before) == []
    if again:
        assert repeated(lines(*again), before)
