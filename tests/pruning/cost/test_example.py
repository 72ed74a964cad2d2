import pytest
import torch
from torch import nn

import lightprune
from lightprune import Pruner, Sparsifier, Targets
from lightprune.errors import InputError
from lightprune.pruning.cost.example import Inputs
from lightprune.pruning.cost.mac_counts import count_macs
from lightprune.pruning.criteria import MagnitudePerMac, Synflow

TOKENS = torch.tensor([[1, 2, 0, 0], [3, 4, 5, 0]])
LINEAR = Targets(("Linear",))


class Reader(nn.Module):
    """Takes token ids, a mask of as many rows, and positions that are no batch."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 6)
        self.hidden = nn.Linear(6, 8)
        self.gate = nn.Linear(4, 8)
        self.unused = nn.Linear(3, 3)

    def forward(self, ids, mask, *, positions=None):
        hidden = self.hidden(self.embedding(ids)) * self.gate(mask).unsqueeze(1)
        return hidden if positions is None else hidden + positions.view(4, 1)


class Closed(nn.Module):
    """A reader that takes its tokens alone."""

    def __init__(self, reader):
        super().__init__()
        self.reader = reader

    def forward(self, ids):
        weight = self.reader.gate.weight
        return self.reader(ids, weight.new_ones(ids.shape), positions=weight.new_ones(4))


def examples(ids):
    mask, positions = (ids != 0).float(), torch.ones(4)
    return (ids, mask), {"mask": mask, "positions": positions, "ids": ids}


@pytest.mark.filterwarnings("ignore:nothing is left")
@pytest.mark.parametrize("kind", [0, 1], ids=["tuple", "names"])
@pytest.mark.parametrize(
    "pruner",
    [Pruner(unreachable="first"), Pruner(MagnitudePerMac()), Pruner(Synflow(rounds=2))],
    ids=["unreachable", "macs", "synflow"],
)
def test_a_module_of_several_inputs_is_pruned_as_one_that_makes_them_of_its_tokens(kind, pruner):
    reader = Reader()
    expected = Sparsifier(Closed(reader), pruner, LINEAR, example=TOKENS).prune_(0.5)
    masks = Sparsifier(reader, pruner, LINEAR, example=examples(TOKENS)[kind]).prune_(0.5)

    assert all(torch.equal(masks[name], expected[f"reader.{name}"]) for name in masks)


def test_multiplications_are_those_of_the_first_input_of_a_batch():
    reader = Reader()
    weights = {name: w for name, w in reader.named_parameters() if name.endswith("weight")}
    by_position, by_name = (count_macs(reader, weights, e) for e in examples(TOKENS))

    assert int(by_name["hidden.weight"].applied) == TOKENS.shape[1]
    assert int(by_name["gate.weight"].applied) == 1
    assert int(by_name["unused.weight"].applied) == 0
    assert all(torch.equal(by_name[n].applied, by_position[n].applied) for n in by_name)
    with_names = lightprune.summary(reader, examples(TOKENS)[1])
    assert str(with_names) == str(lightprune.summary(reader, examples(TOKENS)[0]))


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ([TOKENS], "example=list: allowed is a tensor, a tuple of tensors, or a dict of them by"),
        ((TOKENS, None), r"example\[1\]=None: allowed is a tensor"),
        ({"ids": TOKENS, "mask": 1}, r"example\[mask\]=1: allowed is a tensor"),
        ({"ids": TOKENS, "maks": TOKENS}, "example: .*'maks'.*; allowed are arguments that Reader"),
        ((TOKENS,), "example: .*missing 1 .*'mask'; allowed are arguments that Reader takes"),
    ],
    ids=["list", "position", "name", "unknown", "missing"],
)
def test_what_is_no_example_is_refused_in_one_line(example, message):
    with pytest.raises(InputError, match=message) as refused:
        Sparsifier(Reader(), example=example)
    assert "\n" not in str(refused.value)


def test_all_of_a_batch_is_cut_to_its_first_and_nothing_else():
    scalar, table = torch.tensor(3), torch.ones(5, 2)
    inputs = Inputs.of((TOKENS, table, scalar, TOKENS + 1)).first()

    assert [tuple(tensor.shape) for tensor in inputs.tensors] == [(1, 4), (5, 2), (), (1, 4)]
