"""PruningCallback in any LightningModule on two processes: equal masks, a bit-exact resume."""

import os
from dataclasses import replace

import pytest
import torch
import torch.multiprocessing
from lightning.pytorch.strategies import DDPStrategy
from torch import distributed

from tests.callbacks.scenarios import SCENARIOS, SPARSITY
from tests.callbacks.test_any_module import SaveAt
from tests.training.small import copied, equal

pytestmark = pytest.mark.long
NAMES = (
    "dict batches",
    "transformer language model",
    "EMA",
    "two callbacks",
    "scores by gradients",
)


def _process(rank, folder):
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        GROUP_RANK="0",
        WORLD_SIZE="2",
        LOCAL_WORLD_SIZE="2",
        MASTER_ADDR="localhost",
        MASTER_PORT="0",
        TORCHELASTIC_RUN_ID="test",
    )
    torch.set_num_threads(1)
    meeting = f"file://{folder / 'meeting'}"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    outcomes = {name: _trained(folder / name, name) for name in NAMES}
    torch.save(outcomes, folder / f"{rank}.pt")
    distributed.destroy_process_group()


def _trained(folder, name):
    scenario = SCENARIOS[name]
    trainer = {"devices": 2, "strategy": DDPStrategy(process_group_backend="gloo")}
    scenario = replace(scenario, trainer={**scenario.trainer, **trainer})
    whole = scenario.fit(folder, SaveAt(folder, 6))
    scenario.trainer["strategy"] = DDPStrategy(process_group_backend="gloo")
    resumed = scenario.fit(folder, checkpoint=folder / "batch.ckpt")
    return [
        {
            "state": copied(fitted.module.state_dict()),
            "digests": [[r.digest for r in callback.records] for callback in fitted.callbacks],
            "pruned": [(c.masks.pruned, c.masks.total) for c in fitted.callbacks],
        }
        for fitted in (whole, resumed)
    ]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ddp")
    torch.multiprocessing.spawn(_process, (folder,), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", NAMES)
def test_both_processes_end_with_the_same_network_and_so_does_a_resume(together, name):
    outcomes = [outcome for rank in together for outcome in rank[name]]

    for outcome in outcomes:
        assert equal(outcome["state"], outcomes[0]["state"])
        assert outcome["digests"] == outcomes[0]["digests"]
        assert all(pruned == round(SPARSITY * total) for pruned, total in outcome["pruned"])
