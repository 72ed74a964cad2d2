"""Random programs, drawn step by step without tracing, and networks that execute them."""

from contextlib import contextmanager
from dataclasses import replace
from math import inf, prod
from random import Random
from unittest import mock

import numpy as np
import torch
from hypothesis import strategies as st

from lightprune.sparse.codegen import bands, emit
from lightprune.sparse.codegen.assembler import compile_program
from lightprune.sparse.ir.elementwise import Function
from lightprune.sparse.ir.graph import INPUT
from lightprune.sparse.ir.program import (
    ActivationStep,
    AddStep,
    ConcatStep,
    ConvStep,
    FlattenStep,
    GatherStep,
    MultiplyStep,
    PoolStep,
    Program,
)
from lightprune.sparse.isa.register_blocks import CHANNEL_BLOCKS, LANES
from lightprune.sparse.runtime import network as runtime
from lightprune.sparse.runtime import thread_choice
from tests.sparse import reference

# They give integers for integers.
EXACT_FUNCTIONS = st.sampled_from(
    [None, None, Function("clamp", (-2.0, 6.0)), Function("leaky_relu", (2.0, 0.0))]
)
BATCHES = (1, 2, LANES - 1, LANES, LANES + 1, 40)


def network_of(program, threads=1, channel_block=None, min_images_in_lanes=1):
    """A network that executes this program, with the channel block wherever it is possible."""
    with mock.patch.object(runtime, "lower", return_value=program):
        network = runtime.SparseNetwork(None, {}, threads)
    if min_images_in_lanes:
        vars(network)["min_images_in_lanes"] = min_images_in_lanes
    if channel_block is not None:
        channel_blocks = {step.value: channel_block for step in program.steps}
        vars(network)["single"] = compile_program(program, 1, channel_blocks)
        if channel_block in CHANNEL_BLOCKS:
            vars(network)["batched"] = compile_program(program, LANES, channel_blocks)
    return network


@contextmanager
def random_sharing(seed):
    """Threads share random instructions of what is compiled here, however small."""
    draws, chunks = Random(seed), emit.Emitter._chunks

    def drawn(self, costs):
        with mock.patch.object(emit, "_WORTH_SHARING", draws.choice([0.0, inf])):
            return chunks(self, costs)

    with mock.patch.object(emit.Emitter, "_chunks", drawn):
        yield


@contextmanager
def narrow_bands():
    """All threads share single images by bands of two vectors in what is compiled here."""
    with (
        mock.patch.object(bands, "_BAND_PIXELS", (2 * LANES,)),
        mock.patch.object(bands, "_MIN_BANDS", 2),
        mock.patch.object(bands, "_WEIGHT_BYTES", 0),
        mock.patch.object(emit, "_WORTH_SHARING", 0.0),
        mock.patch.object(thread_choice, "_CALLS_PER_TURN", 0),
    ):
        yield


def poison(network):
    """Fills all memory that the network keeps with NaN."""
    for workspaces in network._idle.values():
        for workspace in workspaces:
            workspace.memory.fill(np.nan)


def expected(program, images):
    """What plain torch computes in float64."""
    return reference.run(Program(**{**vars(program), "steps": _double(program)}), images.double())


def _double(program):
    return tuple(
        replace(step, **{k: a.astype(float) for k, a in vars(step).items() if _is_array(a)})
        for step in program.steps
    )


def _is_array(value):
    return isinstance(value, np.ndarray)


def random_integers(generator, *shape):
    """Small integers, whose products and sums are exact in float32."""
    return generator.integers(-3, 4, shape).astype(np.float32)


def images_for(program, count, seed=0):
    """Images of small integers."""
    generator = np.random.default_rng(seed)
    return torch.from_numpy(random_integers(generator, count, *program.shapes[INPUT]))


def _windows(draw, size, most_padding):
    """A kernel, stride, padding and dilation for one axis, and the extent of what comes out."""
    kernel, stride, dilation = (
        draw(st.integers(1, 7)),
        draw(st.integers(1, 3)),
        draw(st.integers(1, 3)),
    )
    padding = st.integers(max(-2, 1 - size), most_padding)
    before, after = draw(padding), draw(padding)
    span = dilation * (kernel - 1) + 1
    before = max(before, span - size - after)
    out = (size + before + after - span) // stride + 1
    # The windows end exactly at the last padded pixel, as a program's do.
    return kernel, stride, (before, (out - 1) * stride + span - size - before), dilation, out


@st.composite
def convolutions(draw, value, read, shapes, residuals=(), channels=40, most_macs=300_000):
    """A convolution of value `read`, and the shape of what it computes."""
    inputs, *size = shapes[read]
    axes = [_windows(draw, n, draw(st.sampled_from([0, 1, 4]))) for n in size]
    kernel, stride, padding, dilation, out = zip(*axes, strict=True)
    groups = draw(st.sampled_from([n for n in (1, 1, 1, 2, 3, inputs) if inputs % n == 0]))
    most = max(1, min(channels, most_macs // (prod(out) * prod(kernel) * inputs)))
    outputs = groups * draw(st.integers(1, max(1, most // groups)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    weight = random_integers(generator, outputs, inputs // groups, *kernel)
    weight *= generator.random(weight.shape) < draw(st.sampled_from([0.0, 0.02, 0.2, 0.5, 1.0]))
    shape = (outputs, *out)
    by_pixel = draw(st.sampled_from([False, False, True]))
    fitting = [name for name in residuals if shapes[name] == shape]
    residual = draw(st.sampled_from([None, *fitting]))
    step = ConvStep(
        value,
        (read,) if residual is None else (read, residual),
        weight,
        random_integers(generator, *(shape if by_pixel else shape[:1])),
        stride,
        padding,
        dilation,
        groups,
        draw(st.booleans()),
        draw(EXACT_FUNCTIONS),
        (value,),
    )
    return step, shape


def sizes(most):
    return st.tuples(st.integers(1, most), st.integers(1, most))


@st.composite
def convolution_programs(draw, most=33, channels=40):
    """One convolution, perhaps with a residual: a value that another convolution computes."""
    shapes = {INPUT: (draw(st.integers(1, 40)), *draw(sizes(most)))}
    step, shape = draw(convolutions("out", INPUT, shapes, channels=channels))
    steps = (step,)
    if draw(st.booleans()):
        like = replace(step, value="other", weight=np.roll(step.weight, 1), relu=False)
        steps = (like, replace(step, inputs=(INPUT, "other")))
        shapes["other"] = shape
    return Program(steps, {**shapes, "out": shape}, "out", flat=False)


@st.composite
def pools(draw, value, read, shapes):
    """A pool of value `read`, and the shape of what it computes."""
    channels, *size = shapes[read]
    kernel = tuple(draw(st.integers(1, min(4, n))) for n in size)
    stride = draw(sizes(3))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    kind, ceil_mode = draw(st.sampled_from(["max", "avg"])), draw(st.booleans())
    # No window lies between the pixels where the map is as large as two of its taps.
    wide = kind == "max" and all(n > 2 * k for n, k in zip(size, kernel, strict=True))
    dilation = draw(sizes(2)) if wide else (1, 1)
    windows = (kernel, stride, padding)
    step = PoolStep(value, (read,), kind, *windows, draw(st.booleans()), ceil_mode, dilation)
    empty = torch.empty(1, 1, *size, device="meta")
    out = torch.nn.functional.max_pool2d(empty, *windows, dilation, ceil_mode)
    return step, (channels, *out.shape[2:])


@st.composite
def sums(draw, value, read, shapes):
    """A sum of up to two values of one shape and a bias, and that shape."""
    shape = shapes[read]
    fitting = [name for name in shapes if shapes[name] == shape]
    inputs = [[], [read], [read, draw(st.sampled_from(fitting))]][draw(st.integers(0, 2))]
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    biases = [random_integers(generator, *shape), random_integers(generator, *shape[:1])]
    bias = draw(st.sampled_from(biases if not inputs else [*biases, None]))
    return AddStep(value, tuple(inputs), bias, draw(st.booleans())), shape


@st.composite
def elementwise(draw, value, read, shapes):
    """A function of each number, or a product of two values, and the shape of what it computes."""
    channels, *size = shapes[read]
    fitting = [n for n, s in shapes.items() if s in ((channels, *size), (channels, 1, 1))]
    factor = draw(st.sampled_from([None, *fitting]))
    if factor is not None:
        return MultiplyStep(value, (read, factor)), shapes[read]
    function = draw(EXACT_FUNCTIONS) or Function("clamp", (1.0, 3.0))
    return ActivationStep(value, (read,), function), shapes[read]


@st.composite
def concatenations(draw, value, read, shapes):
    """A concatenation of up to three values of one height and width, and its shape."""
    fitting = [name for name in shapes if shapes[name][1:] == shapes[read][1:]]
    inputs = (read, *draw(st.lists(st.sampled_from(fitting), max_size=2)))
    return ConcatStep(value, inputs), (sum(shapes[n][0] for n in inputs), *shapes[read][1:])


@st.composite
def gathers(draw, value, read, shapes):
    """Pixels of one or several channels of value `read`, or zeros, and the shape of the value."""
    channels, *size = shapes[read]
    planes = draw(st.sampled_from([n for n in (1, 1, 4, channels) if channels % n == 0]))
    out = draw(sizes(12))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    indices = generator.integers(-1, planes * prod(size), out, np.int32)
    return GatherStep(value, (read,), indices, planes), (channels // planes, *out)


@st.composite
def programs(draw, most_steps=6):
    """Several steps, each of which reads any of the values before it."""
    shapes = {INPUT: (draw(st.integers(1, 6)), *draw(sizes(12)))}
    steps = []
    for number in range(draw(st.integers(1, most_steps))):
        # Values that were computed before are read again and again.
        read = draw(st.sampled_from(list(shapes)[-3:]))
        name = f"v{number}"
        kinds = [
            "conv",
            "conv",
            "conv",
            "pool",
            "sum",
            "elementwise",
            "concat",
            "flatten",
            "gather",
        ]
        kind = draw(st.sampled_from(kinds))
        if kind == "conv":
            residuals = list(shapes)
            strategy = convolutions(name, read, shapes, residuals, channels=9, most_macs=20_000)
            step, shape = draw(strategy)
            if max(shape[1:]) > 20:
                continue
        elif kind == "flatten":
            step, shape = FlattenStep(name, (read,)), (prod(shapes[read]), 1, 1)
            if shape[0] > 200:
                continue
        else:
            strategies = {
                "pool": pools,
                "sum": sums,
                "concat": concatenations,
                "gather": gathers,
            }
            step, shape = draw(strategies.get(kind, elementwise)(name, read, shapes))
            if shape[0] > 60:
                continue
        steps.append(step)
        shapes[name] = shape
    if not steps:
        steps.append(AddStep("v", (INPUT,), None, True))
        shapes["v"] = shapes[INPUT]
    # Steps after the output's run, and must not overwrite it.
    last = draw(st.sampled_from([step.value for step in [*steps, steps[-1]]]))
    return Program(tuple(steps), shapes, last, flat=shapes[last][1:] == (1, 1))


def layer(weight, side, width=None, padding=0, name="layer"):
    """A convolution that keeps the size of its maps, which are square unless a width is given."""
    outputs, inputs = weight.shape[:2]
    pads = ((padding, padding),) * 2
    bias = np.zeros(outputs)
    step = ConvStep("out", (INPUT,), weight, bias, padding=pads, layers=(name,))
    size = (side, width or side)
    return Program((step,), {INPUT: (inputs, *size), "out": (outputs, *size)}, "out", False)


def residual_program(density=0.3):
    """A stem, a block that halves the map with a shortcut, a pool and a classifier."""
    generator = np.random.default_rng(1)

    def conv(value, read, outputs, inputs, kernel, stride=1, padding=((1, 1), (1, 1)), add=None):
        weight = random_integers(generator, outputs, inputs, kernel, kernel)
        weight += weight == 0
        weight *= generator.random(weight.shape) < density
        bias = random_integers(generator, outputs)
        inputs, strides = (read, add) if add else (read,), (stride, stride)
        relu, names = value != "out", (value,)
        return ConvStep(value, inputs, weight, bias, strides, padding, relu=relu, layers=names)

    none, half = ((0, 0), (0, 0)), (8, 5, 6)
    steps = (
        conv("stem", INPUT, 6, 3, 3),
        conv("left", "stem", 8, 6, 3, stride=2),
        conv("short", "stem", 8, 6, 1, stride=2, padding=none),
        conv("joined", "left", 8, 8, 3, add="short"),
        PoolStep("pooled", ("joined",), "max", (2, 2), (2, 2), (0, 0), False),
        FlattenStep("flat", ("pooled",)),
        conv("out", "flat", 5, 48, 1, padding=none),
    )
    shapes = {
        INPUT: (3, 9, 11),
        "stem": (6, 9, 11),
        "left": half,
        "short": half,
        "joined": half,
        "pooled": (8, 2, 3),
        "flat": (48, 1, 1),
        "out": (5, 1, 1),
    }
    return Program(steps, shapes, "out", flat=True)
