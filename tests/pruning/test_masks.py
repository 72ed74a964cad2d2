import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lightprune.pruning import Pruner, Sparsifier
from lightprune.pruning.masks import BitMasks, Masks
from tests.pruning.strategies import ANYTHING, flags_for, masked_weights, weight_dicts


def same(a, b):
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


@given(masked_weights())
def test_unpacking_what_was_packed_gives_the_same_masks(case):
    weights, masks = case

    assert same(Masks.unpack(masks.pack(), weights), masks)


@given(masked_weights())
def test_packing_takes_one_bit_a_weight_and_whole_bytes_a_tensor(case):
    _, masks = case

    assert len(masks.pack()) == sum((mask.numel() + 7) // 8 for mask in masks.values())


@given(masked_weights())
def test_unpacked_masks_lie_as_the_weights_do(case):
    weights, masks = case

    unpacked = Masks.unpack(masks.pack(), weights)

    assert all(unpacked[name].stride() == weights[name].stride() for name in weights)


@pytest.mark.parametrize("change", [b"", b"\x00"])
def test_unpacking_bytes_of_a_wrong_length_is_an_error(change):
    weights = {"a": torch.ones(9), "b": torch.ones(2, 4)}
    packed = Masks.dense(weights).pack()
    wrong = packed + change if change else packed[:-1]

    with pytest.raises(ValueError, match=f"{len(wrong)} bytes, these weights need 3"):
        Masks.unpack(wrong, weights)


@given(weight_dicts(), st.data())
def test_digests_agree_exactly_when_masks_do(weights, data):
    first, second = (Masks(data.draw(flags_for(weights))) for _ in range(2))

    assert (first.digest() == second.digest()) == same(first, second)


@given(masked_weights(), st.data())
def test_flipping_one_bit_changes_the_digest(case, data):
    _, masks = case
    name = data.draw(st.sampled_from(list(masks)))
    if not masks[name].numel():
        return
    flipped = {n: mask.clone() for n, mask in masks.items()}
    place = data.draw(st.integers(0, masks[name].numel() - 1))
    index = torch.unravel_index(torch.tensor(place), masks[name].shape)
    flipped[name][index] ^= True

    assert Masks(flipped).digest() != masks.digest()


@given(masked_weights())
def test_the_memory_layout_changes_neither_bits_nor_digest(case):
    _, masks = case
    contiguous = Masks({name: mask.contiguous() for name, mask in masks.items()})

    assert masks.pack() == contiguous.pack()
    assert masks.digest() == contiguous.digest()


def test_the_digest_tells_names_shapes_and_order_apart():
    row, column = torch.ones(1, 8, dtype=torch.bool), torch.ones(8, 1, dtype=torch.bool)
    variants = [
        {"a": row, "b": column},
        {"a": row, "c": column},
        {"a": column, "b": row},
        {"b": column, "a": row},
        {"a": row},
    ]

    assert len({Masks(variant).digest() for variant in variants}) == len(variants)


@given(masked_weights(elements=ANYTHING, dtypes=(torch.float32, torch.bfloat16, torch.float16)))
def test_applying_gives_positive_zeros_and_leaves_the_kept_bits_alone(case):
    weights, masks = case
    before = {name: weight.clone() for name, weight in weights.items()}

    masks.apply_(weights)

    for name, mask in masks.items():
        integers = torch.int32 if weights[name].dtype == torch.float32 else torch.int16
        bits, old = weights[name].view(integers), before[name].view(integers)
        assert torch.equal(bits, old * mask)


def test_applying_removes_what_a_multiplication_would_leave():
    weights = {"a": torch.tensor([float("nan"), float("inf"), -float("inf"), -2.0, -0.0, 5.0])}

    Masks({"a": torch.tensor([False] * 5 + [True])}).apply_(weights)

    assert weights["a"].tolist() == [0, 0, 0, 0, 0, 5]
    assert not weights["a"].signbit().any()


def test_applying_works_in_place_on_parameters_that_require_gradients():
    layer = torch.nn.Linear(3, 2)
    storage = layer.weight.data_ptr()

    Masks({"weight": torch.zeros(2, 3, dtype=torch.bool)}).apply_({"weight": layer.weight})

    assert layer.weight.data_ptr() == storage
    assert not layer.weight.any()
    assert layer.weight.requires_grad
    assert layer.weight.is_leaf


def test_applying_touches_only_the_tensors_it_is_given():
    masks = Masks({"a": torch.tensor([True, True]), "b": torch.tensor([False, True])})
    gradients = {"b": torch.tensor([3.0, 4.0])}

    masks.apply_(gradients)

    assert gradients["b"].tolist() == [0, 4]


def test_applying_to_a_tensor_that_has_no_mask_is_an_error():
    with pytest.raises(KeyError, match="b"):
        Masks.dense({"a": torch.ones(2)}).apply_({"b": torch.ones(2)})


@given(masked_weights())
def test_after_applying_there_are_no_violations(case):
    weights, masks = case

    masks.apply_(weights)

    assert masks.violations(weights) == {}


def test_violations_count_the_pruned_entries_that_are_not_zero():
    weights = {
        "a": torch.tensor([1.0, float("nan"), 0.0, 2.0]),
        "b": torch.tensor([0.0, -0.0]),
    }
    masks = Masks(
        {
            "a": torch.tensor([False, False, False, True]),
            "b": torch.tensor([False, False]),
        }
    )

    assert masks.violations(weights) == {"a": 2}


@given(masked_weights())
def test_the_counts_add_up(case):
    weights, masks = case

    assert masks.total == sum(weight.numel() for weight in weights.values())
    assert masks.kept == sum(int(mask.sum()) for mask in masks.values())
    assert masks.pruned == masks.total - masks.kept
    if masks.total:
        assert masks.sparsity == masks.pruned / masks.total


@given(weight_dicts(dtypes=(torch.float32, torch.bfloat16)))
def test_dense_masks_keep_everything_and_take_no_memory(weights):
    masks = Masks.dense(weights)

    assert list(masks) == list(weights)
    assert masks.pruned == 0
    assert all(masks[name].dtype == torch.bool for name in weights)
    assert all(masks[name].shape == weights[name].shape for name in weights)
    assert all(masks[name].untyped_storage().nbytes() == 1 for name in weights)
    assert all(
        mask.stride() == weights[name].stride() for name, mask in masks.like(weights).items()
    )


@given(masked_weights())
def test_like_changes_the_layout_and_never_the_masks(case):
    _, masks = case
    relaid = {
        name: mask.float().contiguous(memory_format=torch.channels_last)
        if mask.dim() == 4
        else mask.float()
        for name, mask in masks.items()
    }

    moved = masks.like(relaid)

    assert same(moved, masks)
    assert all(moved[name].stride() == relaid[name].stride() for name in masks)


def test_like_copies_so_that_the_original_stays_as_it_is():
    masks = Masks({"a": torch.tensor([True, False])})

    masks.like({"a": torch.zeros(2)})["a"].fill_(False)

    assert masks.kept == 1


def test_emptied_names_the_tensors_of_which_nothing_is_kept():
    masks = Masks(
        {
            "a": torch.tensor([False, False]),
            "b": torch.tensor([False, True]),
            "c": torch.tensor([[False]]),
        }
    )

    assert masks.emptied() == ("a", "c")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradient_masks_zero_what_masks_zero_and_keep_every_other_bit(dtype, layout):
    weights = {"a": torch.randn(4, 3, 3, 3).to(dtype).contiguous(memory_format=layout)}
    masks = Masks({"a": torch.rand(4, 3, 3, 3) < 0.5})
    gradients = {"a": torch.randn_like(weights["a"])}
    gradients["a"][0, 0, 0] = torch.tensor([torch.nan, torch.inf, -0.0])
    expected = {"a": gradients["a"].clone()}
    masks.like(weights).apply_(expected)
    BitMasks(masks).apply_(gradients)

    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[gradients["a"].element_size()]
    assert torch.equal(gradients["a"].view(integer), expected["a"].view(integer))


def test_a_layer_of_which_nothing_is_left_is_warned_of():
    torch.manual_seed(0)
    small, large = nn.Linear(8, 8), nn.Linear(8, 2)
    small.weight.data.mul_(1e-3)
    module = nn.Sequential(small, large)

    with pytest.warns(UserWarning, match=r"^nothing is left of 0\.weight: .*Pruner\(floor=0\.01\)"):
        masks = Sparsifier(module).prune_(0.8)
    assert masks.emptied() == ("0.weight",)
    assert repr(masks) == "Masks(64 of 80 weights pruned)"
    with warnings.catch_warnings(action="error"):
        Sparsifier(module, Pruner(floor=0.1)).prune_(0.8)
