import random

import pytest

from tests.system.kills import Cell, campaign
from tests.system.remains import left

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    ("cell", "kills"),
    [
        (Cell("multi_step", "global", 1, "movement, rewound"), 2),
        (Cell("multi_step", "local", 2, "taylor, regrown"), 1),
    ],
    ids=["one process", "two processes"],
)
def test_a_run_killed_again_and_again_ends_as_if_nobody_had_touched_it(
    server, tmp_path, cell, kills
):
    (tmp_path / "untouched").mkdir()
    assert server.train(tmp_path / "untouched", *cell.asked).returncode == 0
    hits = campaign(tmp_path / "victim", cell, kills, random.Random(kills))

    assert hits
    assert [hit for hit in hits if hit.wrong] == []
    assert left(tmp_path / "victim") == left(tmp_path / "untouched")
