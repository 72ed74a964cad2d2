import pytest
import torch

from tests.callbacks.distributed import two_processes
from tests.training.small import (
    equal,
    plan,
    session,
)

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    return two_processes.run(tmp_path_factory.mktemp("together"))


def test_rank_0_decides_the_masks_of_all_ranks(together):
    first, second = together

    assert first["mine"] != second["mine"]
    assert first["agreed"] == second["agreed"] == first["mine"]


@pytest.mark.parametrize("case", ["same", "same in another layout"])
def test_equal_weights_pass_in_any_layout(together, case):
    assert [seen["refusals"][case] for seen in together] == ["", ""]


@pytest.mark.parametrize(
    ("case", "name", "share"),
    [
        ("last bit", "a", "1 of 2"),
        ("sign of zero", "b", "1 of 2"),
        ("bfloat16", "a", "1 of 1"),
        ("all", "a", "2 of 2"),
    ],
)
def test_weights_that_differ_between_ranks_are_named_on_every_rank(together, case, name, share):
    for seen in together:
        assert seen["refusals"][case] == (
            f"{name} of rank 1 is not that of rank 0 ({share} prunable weights differ): "
            "the ranks have drifted apart; allowed is training that changes the weights alike on "
            "every rank"
        )


def test_ranks_that_drifted_apart_end_the_training_at_the_next_event(together):
    for seen in together:
        assert seen["drifted"].startswith("epoch 2: 4.weight of rank 1 is not that of rank 0 (1 of")


def test_two_processes_end_with_the_same_weights_and_records(together):
    first, second = together

    assert equal(first["state"], second["state"])
    assert first["records"] == second["records"]
    assert first["validation"] == second["validation"]
    weights = [w for w in first["state"].values() if w.dim() == 4]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    assert zeros == round(0.8 * sum(weight.numel() for weight in weights))


def test_the_accuracy_of_two_processes_belongs_to_the_weights_they_save(tmp_path, together):
    made = session(tmp_path, plan(epochs=1))
    made.network.load_state_dict(together[0]["state"])
    made.trainer.validate(made.classifier, datamodule=made.data, verbose=False)

    assert together[0]["validation"] == made.classifier.evaluation.accuracy


def test_two_processes_test_every_image_once(together):
    assert [seen["images"] for seen in together] == [40, 40]
    assert together[0]["correct"] == together[1]["correct"]


def test_predictions_of_two_processes_are_in_the_order_of_the_images(tmp_path, together):
    made = session(tmp_path, plan(epochs=1))
    made.network.load_state_dict(together[0]["state"])
    made.trainer.test(made.classifier, datamodule=made.data, verbose=False)

    for seen in together:
        assert seen["predicted"] == made.classifier.evaluation.predicted


@pytest.mark.parametrize("criterion", two_processes.SCORED_BY_NETWORK)
def test_criteria_score_alike_in_every_process(together, criterion):
    first, second = (seen[criterion] for seen in together)

    assert len(first["digests"]) == 6
    assert first["digests"] == second["digests"]
    assert first["records"] == second["records"]
    assert all(record["recalibrated"] is not None for record in first["records"])
    assert equal(first["state"], second["state"])


@pytest.mark.parametrize("method", [*two_processes.BY_WEIGHTS, *two_processes.BY_GRADIENT])
def test_every_method_leaves_the_same_network_in_every_process(together, method):
    first, second = (seen["methods"][method] for seen in together)

    assert first["records"] == second["records"]
    assert equal(first["state"], second["state"])


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return two_processes.methods(tmp_path_factory.mktemp("alone"), 1, two_processes.BY_WEIGHTS)


@pytest.mark.parametrize("method", two_processes.BY_WEIGHTS)
def test_two_processes_train_as_one_does_on_the_same_global_batch(alone, together, method):
    one, two = alone[method], together[0]["methods"][method]

    for mine, theirs in zip(one["records"], two["records"], strict=True):
        assert (mine["digest"], mine["pruned"]) == (theirs["digest"], theirs["pruned"])
    for name, weight in one["state"].items():
        torch.testing.assert_close(two["state"][name], weight, rtol=1e-3, atol=1e-5)
    assert two["validation"] == pytest.approx(one["validation"], abs=1 / 40)
