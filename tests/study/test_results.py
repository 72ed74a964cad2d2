"""The committed results: today's code computes the hashes and dense keys that they state."""

from pathlib import Path

import pytest

from lightprune.experiment.dense_cache import dense_key
from lightprune.runs.folder import RunFolder
from lightprune.runs.identity import config_hash
from lightprune.runs.record import read_dense_record

RESULTS = Path("results")
RUNS = sorted(file.parent for file in RESULTS.rglob("run.json"))


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.relative_to(RESULTS).as_posix())
def test_hash_and_dense_key_of_a_committed_run_are_those_of_its_config(path):
    record = RunFolder(path).finished()
    parts = {name: record.config[name] for name in ("model", "data", "seed", "trainer")}
    recipe = record.config["recipe"]["dense"]
    identity = {**parts, "recipe": recipe, "fingerprint": record.data.fingerprint}

    assert config_hash(record.config) == record.config_hash
    if record.dense.key:
        assert dense_key(identity) == record.dense.key
        dense = read_dense_record(RESULTS / "dense" / record.dense.key / "dense.json")
        assert dense.key == record.dense.key
