"""PruningCallback in any LightningModule on two processes: equal masks, a bit-exact resume."""

from dataclasses import replace

import pytest
from lightning.pytorch.strategies import DDPStrategy

from tests.callbacks.distributed.processes import in_two_processes
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


def _outcomes(rank, folder):
    return {name: _trained(folder / name, name) for name in NAMES}


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
    return in_two_processes(folder, _outcomes)


@pytest.mark.parametrize("name", NAMES)
def test_both_processes_end_with_the_same_network_and_so_does_a_resume(together, name):
    outcomes = [outcome for rank in together for outcome in rank[name]]

    for outcome in outcomes:
        assert equal(outcome["state"], outcomes[0]["state"])
        assert outcome["digests"] == outcomes[0]["digests"]
        assert all(pruned == round(SPARSITY * total) for pruned, total in outcome["pruned"])
