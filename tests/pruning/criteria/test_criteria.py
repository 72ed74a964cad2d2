import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightprune.errors import InputError
from lightprune.pruning.criteria import Criterion, Magnitude, Random
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from tests.pruning.probe import scores_of
from tests.pruning.strategies import ANYTHING, FINITE, SHAPES, tensors

ANY_TENSOR = SHAPES.flatmap(
    lambda shape: tensors(shape, ANYTHING, (torch.float32, torch.bfloat16, torch.float16))
)


def random_masks(weights, seed=0, scope="global", sparsity=0.6):
    return Pruner(Random(seed), scope=scope).prune(weights, Masks.dense(weights), sparsity)


@given(ANY_TENSOR)
def test_the_magnitude_is_the_absolute_value_and_not_a_number_is_infinite(weight):
    scores = scores_of(Magnitude(), weight)

    expected = weight.double().abs().nan_to_num(nan=torch.inf, posinf=torch.inf)
    assert scores.dtype == torch.float32
    assert torch.equal(scores.double(), expected)


@given(SHAPES.flatmap(lambda shape: tensors(shape, FINITE)))
def test_the_l2_norm_scores_by_the_square(weight):
    assert torch.equal(scores_of(Magnitude("l2"), weight), weight * weight)


@given(ANY_TENSOR, st.sampled_from([Magnitude("l1"), Magnitude("l2"), Random(3)]))
def test_scores_are_float32_of_the_same_shape_and_layout_and_never_nan(weight, criterion):
    before = weight.clone()

    scores = scores_of(criterion, weight)

    assert scores.dtype == torch.float32
    assert scores.shape == weight.shape
    assert scores.stride() == weight.stride() or not weight.numel()
    assert not scores.isnan().any()
    assert torch.equal(weight.nan_to_num(nan=7.0), before.nan_to_num(nan=7.0))


def test_a_norm_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match=r"pruner\.criterion\.norm=l3: allowed are l1, l2"):
        Magnitude("l3")


@pytest.mark.parametrize("seed", [-1, 2**31, 1.5, True, "0", None])
def test_a_seed_that_is_no_small_whole_number_is_refused(seed):
    with pytest.raises(InputError, match=r"pruner\.criterion\.seed=.*an integer in"):
        Random(seed)


@pytest.mark.parametrize("criterion", [Magnitude(), Magnitude("l2"), Random()])
def test_every_criterion_is_a_criterion(criterion):
    assert isinstance(criterion, Criterion)


@pytest.mark.parametrize("scope", ["global", "local"])
def test_random_masks_are_equal_whatever_the_global_random_state(scope):
    weights = {"a": torch.ones(40, 30), "b": torch.ones(7, 3, 3, 3)}
    digests = set()
    for rank in range(4):
        torch.manual_seed(rank)
        torch.rand(rank)
        digests.add(random_masks(weights, scope=scope).digest())

    assert len(digests) == 1


def test_random_masks_leave_the_global_random_state_alone():
    state = torch.get_rng_state()

    random_masks({"a": torch.ones(40, 30)})

    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_random_scores_are_equal_whatever_the_default_dtype(dtype):
    weight = torch.ones(50, dtype=torch.float32)
    expected = scores_of(Random(), weight)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        scores = scores_of(Random(), weight)
    finally:
        torch.set_default_dtype(before)

    assert torch.equal(scores, expected)


def test_random_scores_are_equal_in_every_layout_and_precision():
    plain = torch.randn(6, 5, 3, 3)
    relaid = plain.contiguous(memory_format=torch.channels_last)
    expected = scores_of(Random(2), plain)

    assert torch.equal(scores_of(Random(2), relaid), expected)
    assert torch.equal(scores_of(Random(2), plain.bfloat16()), expected)
    assert torch.equal(scores_of(Random(2), plain * 0), expected)


def test_different_seeds_give_different_random_masks():
    weights = {"a": torch.ones(40, 30)}

    assert len({random_masks(weights, seed).digest() for seed in range(20)}) == 20


def test_different_names_give_different_random_masks():
    weight = torch.ones(40, 30)
    bits = {random_masks({name: weight}).pack() for name in ("a", "b", "layer1.0.conv1.weight")}

    assert len(bits) == 3


def test_random_masks_of_two_seeds_agree_as_often_as_chance_has_it():
    weights = {"a": torch.ones(100_000)}
    first, second = (random_masks(weights, seed, sparsity=0.5)["a"] for seed in (0, 1))

    assert (first == second).float().mean().item() == pytest.approx(0.5, abs=0.01)


def test_random_global_pruning_takes_the_same_share_of_every_tensor_and_region():
    weights = {"a": torch.ones(100_000), "b": torch.zeros(200_000)}

    masks = random_masks(weights, sparsity=0.9)

    assert masks.pruned == 270_000
    for part in (*masks["a"].chunk(4), *masks["b"].chunk(4)):
        assert 1 - part.float().mean().item() == pytest.approx(0.9, abs=0.01)


def test_random_masks_of_a_later_event_hold_those_of_a_one_shot_event():
    weights = {"a": torch.ones(1000), "b": torch.ones(300)}
    pruner = Pruner(Random())
    stepwise = Masks.dense(weights)
    for sparsity in (0.2, 0.5, 0.8):
        stepwise = pruner.prune(weights, stepwise, sparsity)

    assert stepwise.digest() == random_masks(weights, sparsity=0.8).digest()
