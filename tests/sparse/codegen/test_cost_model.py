import pytest

from lightprune.sparse.codegen.cost_model import Lines, block_costs, seconds_a_byte
from lightprune.sparse.isa.register_blocks import BLOCKS, GROUPINGS, Block


@pytest.mark.parametrize("lines", Lines)
def test_every_block_has_a_cost(lines):
    costs = block_costs(lines)

    assert len(costs) == len(BLOCKS)
    assert all(0 < cost.position < 1e-6 for cost in costs)
    assert all(0 <= cost.begin < 1e-5 for cost in costs)


def test_many_vectors_of_one_list_cost_less_than_one_at_a_time():
    costs = dict(zip(BLOCKS, block_costs(Lines.WHOLE), strict=True))
    plain = [block for block in BLOCKS if block.grouping == GROUPINGS[0]]
    largest = max(plain, key=lambda block: block.vectors)

    assert largest.vectors >= 8
    one = costs[Block(GROUPINGS[0], 1, 1)].position
    assert costs[largest].position < one * largest.vectors


def test_costs_are_measured_once():
    assert block_costs(Lines.HALF) is block_costs(Lines.HALF)


def test_weights_from_afar_take_time():
    # Between a slow disk and the first cache.
    assert 1e-13 < seconds_a_byte() < 1e-8
