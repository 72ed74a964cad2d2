import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightprune.errors import InputError
from lightprune.sparse.codegen.kernel_choice import choose_kernel
from lightprune.sparse.codegen.memory_plan import plan_memory
from lightprune.sparse.codegen.tap_order import channels_per_chunk
from lightprune.sparse.codegen.weight_packing import pack_weights
from lightprune.sparse.isa.register_blocks import (
    CHANNEL_BLOCKS,
    LANES,
    SINGLE_IMAGE_BLOCKS,
    SMALL_MAP_BLOCKS,
)
from tests.sparse.programs import convolution_programs, layer

# Images at a time, and a channel block that serves so many.
BLOCKED = st.one_of(
    st.tuples(st.just(1), st.sampled_from([*SINGLE_IMAGE_BLOCKS, *SMALL_MAP_BLOCKS])),
    st.tuples(st.just(LANES), st.sampled_from(CHANNEL_BLOCKS)),
)


def packed_for(step, plan, channel_block):
    return pack_weights(step, plan, choose_kernel(step, plan, [channel_block]))


def in_one_group(step):
    """The weight (O, C, taps) with zeros between the groups."""
    outputs, inputs, *kernel = step.weight.shape
    whole = np.zeros((outputs, inputs * step.groups, kernel[0] * kernel[1]), np.float32)
    for channel in range(outputs):
        first = channel // (outputs // step.groups) * inputs
        whole[channel, first : first + inputs] = step.weight[channel].reshape(inputs, -1)
    return whole


def entries(packed):
    """(output channel, offset, weight) of every stored weight, in the order of computation."""
    size = packed.channel_block.channels
    for number, (_, group, _) in enumerate(np.ndindex(packed.choice.entries.shape)):
        for place in range(packed.indptr[number], packed.indptr[number + 1]):
            for member in range(size):
                offset = packed.offsets[place, 0 if packed.channel_block.shared else member]
                weight = packed.weights[place, member]
                yield packed.choice.channel_order[group * size + member], offset, weight


@settings(max_examples=40)
@given(convolution_programs(), BLOCKED)
def test_what_is_stored_is_the_weight_in_an_order_of_its_own(program, blocked):
    images_per_vector, channel_block = blocked
    plan = plan_memory(program, images_per_vector)
    step = program.steps[-1]
    packed = packed_for(step, plan, channel_block)
    channel_stride, taps = plan.tap_offsets(step)
    weight = in_one_group(step)
    # Whatever the block and the images at a time are.
    chunk = channels_per_chunk(step, program.shapes[step.value])

    stored = [entry for entry in entries(packed) if entry[2] != 0]

    for output, row in enumerate(weight):
        channel, tap = np.nonzero(row)
        order = np.lexsort((tap, channel, tap // step.weight.shape[3], channel // chunk))
        channel, tap = channel[order], tap[order]
        actual = [entry[1:] for entry in stored if entry[0] == output]
        offsets = 4 * (channel * channel_stride + taps[tap])
        assert actual == list(zip(offsets, row[channel, tap], strict=True))
    assert len(stored) == np.count_nonzero(weight)


@settings(max_examples=40)
@given(convolution_programs(), BLOCKED)
def test_entries_are_as_many_as_their_channel_block_needs(program, blocked):
    images_per_vector, channel_block = blocked
    step = program.steps[-1]
    packed = packed_for(step, plan_memory(program, images_per_vector), channel_block)
    inputs = step.weight.shape[1] * step.groups

    assert packed.indptr[0] == 0
    assert packed.indptr[-1] == len(packed.offsets) == len(packed.weights)
    assert (np.diff(packed.indptr) >= 0).all()
    assert packed.choice.groups == -(-len(step.weight) // channel_block.channels)
    assert 1 <= len(packed.choice.entries) <= inputs
    if channel_block.channels == 1:
        assert len(packed.weights) == np.count_nonzero(step.weight)
    assert packed.choice.entries.shape[2] in (1, step.weight.shape[2])
    assert len(packed.choice.group_seconds) == packed.choice.groups
    assert (packed.choice.group_seconds >= 0).all()


def test_inputs_beyond_the_reach_of_an_offset_are_refused():
    program = layer(np.ones((1, 64, 1, 1), np.float32), side=1100, name="big")

    with pytest.raises(InputError, match=r"big: its input of \(64, 1100, 1100\) is too large"):
        packed_for(program.steps[0], plan_memory(program, LANES), CHANNEL_BLOCKS[0])
