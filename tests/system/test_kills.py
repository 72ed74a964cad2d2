import random

import pytest

from tests.system.kills import Cell, campaign, finish
from tests.system.remains import left


@pytest.mark.parametrize(
    ("cell", "kills"),
    [(Cell("multi_step", "global", 1), 3), (Cell("cubic", "local", 2), 1)],
    ids=["one process", "two processes"],
)
def test_a_run_killed_again_and_again_ends_as_if_nobody_had_touched_it(tmp_path, cell, kills):
    finish(tmp_path / "untouched", cell.asked)
    hits = campaign(tmp_path / "victim", cell, kills, random.Random(kills))

    assert hits
    assert [hit for hit in hits if hit.wrong] == []
    assert left(tmp_path / "victim") == left(tmp_path / "untouched")
