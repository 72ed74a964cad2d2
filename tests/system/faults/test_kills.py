import random

import pytest

from tests.system.faults.kills import Configuration, campaign
from tests.system.run_digests import run_digests

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    ("configuration", "kills"),
    [
        (Configuration("multi_step", "global", 1, "movement, rewound"), 2),
        (Configuration("multi_step", "local", 2, "taylor, regrown"), 1),
        (
            Configuration("multi_step", "global", 2, "taught, born again, averaged, not validated"),
            1,
        ),
        (Configuration("cubic in steps", "global", 1), 2),
    ],
    ids=["one process", "two processes", "two processes and their teacher", "within an epoch"],
)
def test_a_run_killed_again_and_again_ends_as_if_nobody_had_touched_it(
    server, tmp_path, configuration, kills
):
    (tmp_path / "untouched").mkdir()
    assert server.train(tmp_path / "untouched", *configuration.overrides).returncode == 0
    hits = campaign(tmp_path / "victim", configuration, kills, random.Random(kills))

    assert hits
    assert [hit for hit in hits if hit.wrong] == []
    assert run_digests(tmp_path / "victim") == run_digests(tmp_path / "untouched")
