"""Which convolutions threads share by bands of pixels, and what the tiles of a band read."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings

from lightprune.sparse.codegen.kernel_choice import choose_kernel
from lightprune.sparse.codegen.memory_plan import plan_memory
from lightprune.sparse.codegen.weight_packing import band_tiles, tile_records
from lightprune.sparse.ir.program import PoolStep, Program
from lightprune.sparse.isa.register_blocks import CHANNEL_BLOCKS, LANES
from tests.sparse.programs import convolution_programs, layer, narrow_bands


def sparse_layer(height, width, outputs=64, kept=0.05):
    """A 3x3 convolution of 64 channels with a share of its weights."""
    draw = np.random.default_rng(0)
    weight = (draw.random((outputs, 64, 3, 3)) < kept).astype(np.float32)
    return layer(weight, height, width, padding=1)


@pytest.mark.parametrize(
    ("height", "width", "outputs", "kept", "by_bands"),
    [
        # Few weights on a large map; on one too small; so many weights that they outweigh the map.
        (57, 31, 64, 0.05, True),
        (14, 14, 64, 0.05, False),
        (57, 31, 640, 1.0, False),
    ],
)
def test_large_maps_with_few_weights_are_shared_by_bands(height, width, outputs, kept, by_bands):
    plan = plan_memory(sparse_layer(height, width, outputs, kept), 1)

    assert ("out" in plan.bands) is by_bands
    assert all(height * width // pixels >= 6 for pixels in plan.bands.values())


def test_many_images_are_shared_by_channels():
    assert plan_memory(sparse_layer(57, 31), LANES).bands == {}


@pytest.mark.parametrize(("side", "fused"), [(57, False), (14, True)])
def test_a_pool_goes_on_with_the_channels_of_its_thread_unless_that_has_bands(side, fused):
    program = sparse_layer(side, side)
    pool = PoolStep("pooled", ("out",), "max", (2, 2), (2, 2), (0, 0), False)
    shapes = {**program.shapes, "pooled": (64, side // 2, side // 2)}

    tasks = plan_memory(Program((*program.steps, pool), shapes, "pooled", False), 1).tasks

    assert tasks[-1].fused is fused


def test_readers_of_one_packed_input_are_shared_alike():
    program, weight = sparse_layer(57, 31), np.ones((640, 64, 3, 3), np.float32)
    dense = replace(program.steps[0], value="dense", weight=weight, bias=np.zeros(640))
    shapes = {**program.shapes, "dense": (640, 57, 31)}
    both = Program((*program.steps, dense), shapes, "dense", False)

    assert "out" in plan_memory(program, 1).bands
    assert plan_memory(both, 1).bands == {}


@settings(max_examples=30)
@given(convolution_programs())
def test_a_tile_finds_what_it_reads_within_what_is_packed(program):
    with narrow_bands():
        plan = plan_memory(program, 1)
    step = program.steps[-1]
    pixels = prod(program.shapes[step.value][1:])
    read, within = plan.input_buffer(step), plan.tap_offsets(step)[1]
    choice = choose_kernel(step, plan, CHANNEL_BLOCKS[:1])

    table = tile_records(step, plan, choice)

    if step.value in plan.bands:
        starts, shares = band_tiles(choice, plan.bands[step.value])
        assert (starts[0], starts[-1]) == (0, len(table))
        assert (np.diff(starts) > 0).all()
        assert shares.sum() == pytest.approx(1)
        assert (table["output"][starts[:-1]] % plan.bands[step.value] == 0).all()
    if step.value not in plan.packed_inputs:
        assert (table["input"] == table["output"]).all()
        return
    within = within % read.channel_stride
    for tile in table:
        there = LANES * (tile["packed_end"] - tile["packed_begin"])
        end = min(tile["output"] + LANES * tile["columns"], pixels) - tile["output"]
        assert tile["input"] + within.min() >= 0
        assert tile["input"] + within.max() + end <= there <= max(read.channel_stride, LANES)
        assert tile["input"] + LANES * tile["packed_begin"] == tile["output"]
