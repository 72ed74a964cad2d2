import pytest
from numba import config

from lightprune.sparse.isa import register_blocks as blocks


@pytest.mark.parametrize("block", blocks.REGISTER_BLOCKS, ids=str)
def test_every_block_fits_the_registers(block):
    # Besides the outputs, weights are held; an input may be an operand in memory.
    grouping = block.grouping
    weights = grouping.channels // (blocks.LANES if grouping.in_lanes else 1)
    assert block.accumulators + weights <= (32 if blocks.LANES == 16 else 16)


@pytest.mark.parametrize(("features", "wide"), [("+avx2,+fma", False), ("+avx2,+avx512f", True)])
def test_registers_are_those_that_numba_is_told_to_use(features, wide, monkeypatch):
    monkeypatch.setattr(config, "CPU_FEATURES", features)

    assert blocks.has_cpu_feature("avx512f") is wide


def test_no_register_is_used_that_numba_is_told_not_to(monkeypatch):
    monkeypatch.setattr(config, "CPU_FEATURES", None)
    monkeypatch.setattr(config, "ENABLE_AVX", False)

    assert not blocks.has_cpu_feature("avx512f")
    assert not blocks.has_cpu_feature("avx2")
