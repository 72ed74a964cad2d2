import re
from dataclasses import replace

import pytest

from lightprune.sparse.codegen.assembler import compile_program
from lightprune.sparse.isa.register_blocks import CHANNEL_BLOCKS, LANES, ChannelBlock
from tests.sparse.programs import residual_program

NAMES = ["input", "stem", "left", "short", "joined", "pooled", "flat", "out"]


def lines(images_per_vector, program=None):
    """The printed executable with plain sparse lists, a line by its first word or number."""
    program = program or residual_program()
    blocks = {step.value: CHANNEL_BLOCKS[0] for step in program.steps}
    return str(compile_program(program, images_per_vector, blocks)).splitlines()


@pytest.mark.parametrize("images", [1, LANES])
def test_an_executable_prints_an_instruction_and_a_buffer_a_line(images):
    head, *rest = lines(images)

    instructions = [line for line in rest if re.match(r"[ +] *\d+ ", line)]
    buffers = [line for line in rest if line.startswith("buffer ")]
    assert head.startswith(f"{images} image(s) at a time: {len(instructions)} instructions, arena")
    assert len(rest) == len(instructions) + len(buffers)
    opcodes = [line[5:].split()[0] for line in instructions]
    convs, pool = ["conv"] * 4, ["max_pool", "flatten"]
    assert opcodes == ["pack", *convs, *pool, "conv", "unpack"]
    assert [line[0] for line in instructions] == [*"     +   "]
    assert {line.split()[1] for line in buffers} >= set(NAMES)


def test_a_convolution_prints_its_kernel_and_its_weights():
    (line,) = (line for line in lines(1) if "conv     joined" in line)

    step = next(step for step in residual_program().steps if step.value == "joined")
    tensors = r"joined \[8, 5, 6\] @\d+ <- left \[8, 5, 6\] @\d+, short \[8, 5, 6\] @\d+, left/\d "
    assert re.search(tensors, line)
    assert "kernel 1, 8 group(s), 1 pass(es); tiles 1 of 1x" in line
    weights = (step.weight != 0).sum()
    assert f"; {weights} weights in {weights} entries; plus bias and residual; relu; " in line


def test_a_pool_prints_its_windows_and_a_sum_its_bias():
    program = residual_program()
    stem = replace(program.steps[0], bias=program.steps[0].bias[:, None, None].repeat(99, 1))
    stem = replace(stem, bias=stem.bias.reshape(6, 9, 11))
    printed = lines(LANES, replace(program, steps=(stem, *program.steps[1:])))

    assert any("kernel 2x2; stride 2x2; padding 0x0" in line for line in printed)
    assert any("add      stem [6, 9, 11]" in line and "bias per pixel" in line for line in printed)
    assert any("from output, plus bias; relu" in line for line in printed)


def test_the_kernel_that_is_chosen_is_printed():
    program = residual_program()
    code = compile_program(program, 1, {"stem": ChannelBlock(4, shared=False)})

    assert any(
        "conv     stem" in line and "kernel 4, 2 group" in line for line in str(code).split("\n")
    )
