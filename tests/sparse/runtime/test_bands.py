"""Convolutions that threads share by bands of pixels: the same bits for any number of threads."""

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightprune.sparse.ir.elementwise import Function
from lightprune.sparse.ir.graph import INPUT
from lightprune.sparse.ir.program import ConvStep, Program
from tests.sparse.programs import (
    convolution_programs,
    expected,
    images_for,
    narrow_bands,
    network_of,
    poison,
    programs,
)

THREADS = (1, 2, 3, 5)


def outputs_of(program, images, threads):
    """What the threads compute, in new memory and in memory full of NaN."""
    network = network_of(program, threads)
    outputs = network(images)
    poison(network)
    assert torch.equal(network(images), outputs)
    return outputs


@settings(max_examples=15)
@given(st.one_of(convolution_programs(), programs()))
def test_bands_of_any_program_are_exact_for_any_number_of_threads(program):
    images = images_for(program, 1)
    exact = expected(program, images)

    with narrow_bands():
        first, *others = (outputs_of(program, images, threads) for threads in THREADS)

    assert (first - exact).abs().max() <= 1e-6 * exact.abs().max().clamp(min=1)
    assert all(torch.equal(outputs, first) for outputs in others)


def conv(value, read, inputs, outputs, kernel=3, **settings):
    draw = np.random.default_rng(len(value) + outputs)
    groups = settings.get("groups", 1)
    weight = draw.normal(size=(outputs, inputs // groups, kernel, kernel)).astype(np.float32)
    weight *= draw.random(weight.shape) < 0.2
    edge = settings.get("dilation", (1, 1))[0] * (kernel // 2)
    padding = settings.pop("padding", ((edge, edge),) * 2)
    bias = draw.normal(size=outputs).astype(np.float32)
    return ConvStep(value, (read,), weight, bias, padding=padding, layers=(value,), **settings)


def test_an_odd_map_with_residuals_strides_dilation_and_groups(many_chunks):
    silu = Function("silu", (0.0, 0.0))
    # The last stride-2 windows of 57 x 31 pixels end at the padded border.
    halved = conv("halved", "second", 16, 12, stride=(2, 2))
    short = conv("short", "second", 16, 12, kernel=1, stride=(2, 2), padding=((0, 0), (0, 0)))
    steps = (
        conv("first", INPUT, 8, 16, relu=True),
        conv("other", INPUT, 8, 16, kernel=5, activation=silu),
        replace(conv("second", "first", 16, 16, groups=4), inputs=("first", "other")),
        conv("wide", "second", 16, 16, dilation=(3, 3)),
        conv("mixed", "wide", 16, 16, kernel=1, relu=True),
        halved,
        replace(short, inputs=("second", "halved")),
    )
    full, half = (16, 57, 31), (12, 29, 16)
    shapes = {INPUT: (8, 57, 31), "halved": half, "short": half}
    shapes |= dict.fromkeys(("first", "other", "second", "wide", "mixed"), full)
    images = torch.randn(1, 8, 57, 31)

    for output in ("mixed", "short"):
        program = Program(steps, shapes, output, flat=False)
        exact = expected(program, images)
        first, *others = (outputs_of(program, images, threads) for threads in THREADS)
        assert (first - exact).abs().max() <= 1e-5 * exact.abs().max()
        assert all(torch.equal(outputs, first) for outputs in others)
    bands = network_of(program).single.memory.bands
    assert set(bands) >= {"first", "other", "second", "wide", "mixed"}


def test_tiles_that_fit_the_first_cache_within_wider_bands(many_chunks):
    # A 7x7 kernel on 48x48 pixels reads too much for tiles as wide as the bands.
    step = conv("out", INPUT, 3, 16, kernel=7)
    program = Program((step,), {INPUT: (3, 48, 48), "out": (16, 48, 48)}, "out", False)
    images = images_for(program, 1)
    exact = expected(program, images)

    first, *others = (outputs_of(program, images, threads) for threads in THREADS)

    assert (first - exact).abs().max() <= 1e-6 * exact.abs().max()
    assert all(torch.equal(outputs, first) for outputs in others)
    assert set(network_of(program).single.memory.bands) == {"out"}
