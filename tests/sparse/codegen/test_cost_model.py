import pytest

from lightprune.sparse.codegen.cost_model import InputAlignment, block_costs, seconds_per_byte
from lightprune.sparse.isa.register_blocks import CHANNEL_BLOCKS, REGISTER_BLOCKS, RegisterBlock


@pytest.mark.parametrize("alignment", InputAlignment)
def test_every_block_has_a_cost(alignment):
    costs = block_costs(alignment)

    assert len(costs) == len(REGISTER_BLOCKS)
    assert all(0 < cost.per_entry < 1e-6 for cost in costs)
    assert all(0 <= cost.startup < 1e-5 for cost in costs)


def test_many_vectors_of_one_list_cost_less_than_one_at_a_time():
    costs = dict(zip(REGISTER_BLOCKS, block_costs(InputAlignment.ALIGNED), strict=True))
    plain = [block for block in REGISTER_BLOCKS if block.channel_block == CHANNEL_BLOCKS[0]]
    largest = max(plain, key=lambda block: block.vectors)

    assert largest.vectors >= 8
    one = costs[RegisterBlock(CHANNEL_BLOCKS[0], 1, 1)].per_entry
    assert costs[largest].per_entry < one * largest.vectors


def test_costs_are_measured_once():
    assert block_costs(InputAlignment.HALF) is block_costs(InputAlignment.HALF)


def test_streaming_weights_takes_time():
    # Between a slow disk and the L1 cache.
    assert 1e-13 < seconds_per_byte() < 1e-8
