import pytest
from numba import config

from lightprune.sparse.isa import register_blocks as blocks


@pytest.mark.parametrize("block", blocks.REGISTER_BLOCKS, ids=str)
def test_every_block_fits_the_registers(block):
    # Besides the outputs, weights are held; an input may be an operand in memory.
    channel_block = block.channel_block
    weights = channel_block.channels // (blocks.LANES if channel_block.channel_lanes else 1)
    assert block.accumulators + weights <= (32 if blocks.LANES == 16 else 16)


@pytest.mark.parametrize(("features", "wide"), [("+avx2,+fma", False), ("+avx2,+avx512f", True)])
def test_registers_are_those_that_numba_is_configured_for(features, wide, monkeypatch):
    monkeypatch.setattr(config, "CPU_FEATURES", features)

    assert blocks.has_cpu_feature("avx512f") is wide


def test_no_register_is_used_that_numba_has_disabled(monkeypatch):
    monkeypatch.setattr(config, "CPU_FEATURES", None)
    monkeypatch.setattr(config, "ENABLE_AVX", False)

    assert not blocks.has_cpu_feature("avx512f")
    assert not blocks.has_cpu_feature("avx2")


def test_channel_blocks_print_differently():
    every = dict.fromkeys((*blocks.SINGLE_IMAGE_BLOCKS, *blocks.SMALL_MAP_BLOCKS))
    words = [str(channel_block) for channel_block in every]

    assert len(set(words)) == len(words)
    expected = {"1", "4", "4 shared", "1 narrow", "4 narrow", "4 shared narrow"}
    assert {*expected, f"{2 * blocks.LANES} in lanes"} < set(words)
