import torch
from lightning import Callback

from lightprune.pruning.pruner import Pruner
from lightprune.training.fit import PhaseRun, fit
from tests.training.small import copied, phase, plan, small_setup


def test_reinitialised_weights_are_fresh_under_the_mask_of_the_trained_ones(tmp_path):
    seen = {}

    class Watch(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if batch_idx == 0:
                seen[trainer.current_epoch] = copied(pl_module.network.state_dict())

    setup, records = small_setup(Watch()), {}
    for weights in ("keep", "reinitialise"):
        records[weights] = fit(
            setup,
            setup.new_network(),
            PhaseRun(
                "finetune", phase(3), plan((1, 0.5), epochs=3), pruner=Pruner(weights=weights)
            ),
            tmp_path / weights,
        ).records
    fresh = small_setup(seed=1).new_network().state_dict()

    assert records["keep"][0].digest == records["reinitialise"][0].digest
    for name, weight in seen[1].items():
        mask = weight != 0
        assert torch.equal(weight[mask], fresh[name][mask])
    assert sum(int((seen[1][n] == 0).sum()) for n in ("0.weight", "4.weight", "7.weight")) == (
        records["keep"][0].pruned
    )
