"""The runtime against float64 and against itself.

On a processor with wide registers, this runs it all with the narrow ones of others (the first time
it compiles, in their own cache):

    NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=+avx2,+fma,+avx,+sse4.2,+popcnt,+bmi,+bmi2 \
        pytest -n 0 tests/sparse/test_runtime.py
"""

import copy
import io
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from lightning import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader

from lightprune.sparse import rows, runtime
from lightprune.sparse.blocks import GROUPINGS, LANES, SINGLE_GROUPINGS
from lightprune.sparse.graph import INPUT
from lightprune.sparse.program import AddStep, ConvStep, FlattenStep, PoolStep, Program
from lightprune.sparse.threads import woken
from tests.sparse.programs import (
    BATCHES,
    convolution_programs,
    expected,
    images_for,
    network_of,
    poison,
    programs,
    residual_program,
    whole_numbers,
)

THREADS = st.integers(1, 3)
GENERATOR = np.random.default_rng(0)


def conv(value, read, weight, padding=0, stride=1, relu=False, residual=None):
    """A square convolution without bias whose windows end at the padding."""
    pads = ((padding, padding), (padding, padding))
    bias = np.zeros(len(weight), np.float32)
    names = (value,)
    return ConvStep(
        value, read, weight, bias, (stride,) * 2, pads, (1, 1), 1, residual, relu, names
    )


@pytest.fixture
def many_chunks(monkeypatch):
    """Threads share every operation, however small."""
    monkeypatch.setattr(rows, "_WORTH_SHARING", 0.0)
    monkeypatch.setattr(rows, "_FOUR_CHUNKS", 10.0)


@settings(max_examples=60)
@given(convolution_programs(), st.sampled_from(SINGLE_GROUPINGS), THREADS, st.sampled_from(BATCHES))
def test_a_convolution_of_whole_numbers_is_exact(program, grouping, threads, count):
    images = images_for(program, count)

    outputs = network_of(program, threads, grouping)(images)

    assert torch.equal(outputs.double(), expected(program, images))


@settings(max_examples=15)
@given(convolution_programs(), THREADS, st.sampled_from(BATCHES))
def test_a_convolution_of_any_numbers_is_as_near_as_float32_is(program, threads, count):
    images = torch.rand_like(images_for(program, count)) - 0.5

    outputs, exact = network_of(program, threads)(images), expected(program, images)

    assert (outputs - exact).abs().max() <= 1e-5 * exact.abs().max().clamp(min=1)


@settings(max_examples=40)
@given(convolution_programs(most=4, channels=150), THREADS, st.booleans())
def test_channels_in_the_lanes_compute_the_same_bits(program, threads, whole):
    images = images_for(program, 3)
    if not whole:
        images = torch.randn(images.shape)
    positions_in_lanes = network_of(program, 1, GROUPINGS[0])(images)

    for grouping in SINGLE_GROUPINGS:
        if grouping.in_lanes:
            network = network_of(program, threads, grouping)
            first = network(images)
            poison(network)
            np.testing.assert_array_equal(bits(first + 0.0), bits(positions_in_lanes + 0.0))
            assert torch.equal(network(images), first)
    if whole:
        assert torch.equal(positions_in_lanes.double(), expected(program, images))


def flattened_and_padded():
    """Padding around values that a flattening computed."""
    last = conv("out", "flat", whole_numbers(GENERATOR, 3, 12, 3, 3), padding=2)
    shapes = {INPUT: (3, 2, 2), "flat": (12, 1, 1), "out": (3, 3, 3)}
    return Program((FlattenStep("flat", INPUT), last), shapes, "out", flat=False)


@settings(max_examples=60)
@given(programs(), THREADS, st.sampled_from(BATCHES))
@example(flattened_and_padded(), 1, LANES)
def test_a_program_computes_what_its_steps_say_whatever_the_memory_held(program, threads, count):
    images = images_for(program, count)
    exact = expected(program, images)
    network = network_of(program, threads)

    outputs = network(images)
    poison(network)

    assert outputs.shape == exact.shape
    assert (outputs - exact).abs().max() <= 1e-6 * exact.abs().max().clamp(min=1)
    assert torch.equal(network(images), outputs)


def bits(outputs):
    return outputs.numpy().view(np.uint32)


@settings(max_examples=15)
@given(convolution_programs(), st.sampled_from(SINGLE_GROUPINGS), THREADS)
def test_no_bit_depends_on_the_batch_the_threads_or_the_grouping(program, grouping, threads):
    images = torch.randn(images_for(program, LANES + 2).shape)
    single, grouped = network_of(program), network_of(program, threads, grouping)
    # Where nothing but zeros is added up, one grouping may leave 0 and another -0.
    alone = torch.cat([single(image[None]) for image in images]) + 0.0

    for count in (1, LANES - 1, LANES + 2):
        np.testing.assert_array_equal(bits(grouped(images[:count]) + 0.0), bits(alone[:count]))


@settings(max_examples=15)
@given(programs(), THREADS)
def test_no_bit_of_several_steps_depends_on_the_batch_or_the_threads(program, threads):
    images = torch.randn(images_for(program, LANES + 2).shape)
    single, network = network_of(program), network_of(program, threads)
    alone = torch.cat([single(image[None]) for image in images]) + 0.0

    for count in (1, LANES - 1, LANES + 2):
        np.testing.assert_array_equal(bits(network(images[:count]) + 0.0), bits(alone[:count]))


@pytest.mark.parametrize("count", [1, 3, LANES, 40])
@pytest.mark.parametrize("threads", [2, 3])
def test_repeated_runs_are_identical(many_chunks, threads, count):
    program = residual_program()
    images = images_for(program, count)
    network = network_of(program, threads)
    first = network_of(program)(images)

    for run in range(200):
        poison(network)
        assert torch.equal(network(images), first), run


@pytest.fixture
def busy_core():
    """Another thread that never sleeps."""
    stop = threading.Event()

    def burn():
        matrix = torch.randn(200, 200)
        while not stop.is_set():
            matrix @ matrix

    thread = threading.Thread(target=burn)
    thread.start()
    yield
    stop.set()
    thread.join()


def test_many_threads_may_call_several_networks_at_once(many_chunks, busy_core):
    program = residual_program()
    networks = [network_of(program, threads) for threads in (1, 2, 3)]
    batches = [images_for(program, count, count) for count in (1, 2, LANES, 40)]
    wanted = [networks[0](images) for images in batches]

    def calls(seed):
        order = np.random.default_rng(seed).integers(0, 12, 25)
        return all(
            torch.equal(networks[n % 3](batches[n // 3]), wanted[n // 3]) for n in order.tolist()
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(calls, range(8)))


def test_several_threads_may_make_the_first_call():
    program = residual_program()
    images = images_for(program, 2)
    wanted = network_of(program)(images)

    for _ in range(5):
        network = network_of(program, 2)
        with ThreadPoolExecutor(4) as pool:
            assert all(torch.equal(got, wanted) for got in pool.map(network, [images] * 8))


def test_more_threads_than_cores_may_work(many_chunks):
    program = residual_program()
    images = images_for(program, 40)

    assert torch.equal(network_of(program, 9)(images), network_of(program, 1)(images))


def test_sleeping_threads_are_woken(many_chunks):
    program = residual_program()
    network, images = network_of(program, 3), images_for(program, 3)
    wanted = network(images)

    for _ in range(4):
        time.sleep(0.05)
        assert torch.equal(network(images), wanted)


@pytest.mark.parametrize(("threads", "wanted"), [(None, 3), (0, 3), (1, 1), (2, 2)])
def test_without_a_number_of_threads_a_network_follows_torch(threads, wanted, monkeypatch):
    program, asked = residual_program(), []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(runtime, "woken", lambda others: asked.append(others) or woken(others))

    images = images_for(program, 1)
    found = network_of(program, threads)(images)

    assert asked == [wanted - 1]
    assert torch.equal(found, network_of(program, 1)(images))


@pytest.mark.parametrize("count", [3, LANES + 1])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_its_image_and_comes_out_where_torch_has_it(value, count):
    program = residual_program(density=1.0)
    images = images_for(program, count)
    finite = network_of(program)(images)
    images[1, 2, 3, 4] = value

    outputs, exact = network_of(program, 2)(images), expected(program, images)

    assert torch.equal(outputs.isnan(), exact.isnan())
    others = torch.arange(count) != 1
    assert torch.equal(outputs[others], finite[others])


@settings(max_examples=15)
@given(convolution_programs(), st.sampled_from(SINGLE_GROUPINGS), st.sampled_from([1, LANES]))
def test_an_output_without_a_weight_on_what_is_not_finite_may_stay_finite(program, grouping, count):
    # In torch a weight of zero times infinity is NaN; here that depends on whether the grouping
    # has a zero there at all. So every NaN that comes out is one of torch's, but not the other way
    # round; convolutions in groups, which are computed as one, may see infinity in other groups.
    assume(all(step.groups == 1 for step in program.steps))
    images = images_for(program, count)
    images[0, 0, 0, 0] = np.inf

    outputs = network_of(program, 1, grouping)(images)
    dense = expected(program, images)

    assert not (outputs.isnan() & ~dense.isnan()).any()
    assert torch.equal(outputs[1:].double(), dense[1:])


def test_images_of_zeros_are_computed():
    program = residual_program()
    images = torch.zeros(5, *program.shapes[INPUT])

    assert torch.equal(network_of(program, 2)(images).double(), expected(program, images))


def test_no_images_have_no_outputs():
    network = network_of(residual_program())

    assert network(torch.zeros(0, 3, 9, 11)).shape == (0, 5)


@pytest.mark.parametrize(
    ("images", "named"),
    [
        (torch.zeros(2, 3, 9, 10), r"shape \(2, 3, 9, 10\): needs \(N, 3, 9, 11\)"),
        (torch.zeros(3, 9, 11), r"shape \(3, 9, 11\)"),
        (torch.zeros(2, 3, 9, 11, 1), r"shape \(2, 3, 9, 11, 1\)"),
        (torch.zeros(2, 3, 9, 11).double(), "float64"),
        (torch.zeros(2, 3, 9, 11, dtype=torch.uint8), "uint8"),
        (torch.zeros(2, 3, 9, 11, device="meta"), "meta"),
        (torch.zeros(2, 3, 9, 11).to_sparse(), "sparse_coo"),
        (np.zeros((2, 3, 9, 11), np.float32), "ndarray"),
        (None, "NoneType"),
    ],
)
def test_other_images_are_refused_with_what_is_needed(images, named):
    with pytest.raises(ValueError, match=named):
        network_of(residual_program())(images)


@pytest.mark.parametrize(
    "laid",
    [
        lambda images: images.to(memory_format=torch.channels_last),
        lambda images: images.transpose(2, 3).contiguous().transpose(2, 3),
        lambda images: torch.cat([images, images], 3)[..., :11],
        lambda images: images.flip(0).flip(0),
        lambda images: torch._neg_view(-images),
        lambda images: images.clone().requires_grad_(),
        lambda images: nn.Parameter(images.clone()),
    ],
    ids=["channels last", "transposed", "cut", "flipped", "negated view", "gradient", "parameter"],
)
def test_images_may_lie_in_memory_in_any_way(laid):
    program = residual_program()
    network, images = network_of(program), images_for(program, 5)

    outputs = network(laid(images))

    assert torch.equal(outputs, network(images))
    assert not outputs.requires_grad


def test_images_are_left_as_they_are():
    program = residual_program()
    images = images_for(program, 20)
    before = images.clone()

    network_of(program, 2)(images)

    assert torch.equal(images, before)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
def test_outputs_are_float32_on_the_cpu_whatever_torch_prefers(kind):
    program = residual_program()
    network, images = network_of(program), images_for(program, 5)
    wanted = network(images)
    torch.set_default_dtype(kind)
    try:
        with torch.device("meta"):
            outputs = network(images)
    finally:
        torch.set_default_dtype(torch.float32)

    assert outputs.dtype == torch.float32
    assert torch.equal(outputs, wanted)


def saved_and_loaded(network):
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n)), saved_and_loaded]
)
def test_a_copy_computes_the_same_after_the_network_is_gone(copied):
    program = residual_program()
    network, images = network_of(program, 2), images_for(program, 20)
    wanted = network(images)

    other = copied(nn.Sequential(network))
    del network

    assert torch.equal(other(images), wanted)
    assert other[0].threads == 2


def test_a_network_is_a_module_without_state():
    network = network_of(residual_program())
    images = images_for(network.program, 3)

    assert not network.training
    assert list(network.parameters()) == list(network.buffers()) == []
    assert network.state_dict() == {}
    network.load_state_dict({})
    with torch.inference_mode():
        inferred = network(images)
    with torch.no_grad():
        assert torch.equal(network.to("cpu").train()(images), inferred)


class Classifier(LightningModule):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def test_step(self, batch):
        images, outputs = batch
        self.log("wrong", (self.network(images) != outputs).float().sum(), batch_size=len(images))


def test_lightning_tests_a_network(tmp_path):
    program = residual_program()
    network, images = network_of(program, 2), images_for(program, 20)
    data = DataLoader(list(zip(images, network(images), strict=True)), batch_size=8)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )

    assert trainer.test(Classifier(network), data, verbose=False) == [{"wrong": 0.0}]


@pytest.mark.parametrize("unit", [1, LANES])
def test_two_convolutions_of_one_value_may_differ_in_all_but_that(unit):
    wide, narrow = whole_numbers(GENERATOR, 4, 3, 3, 3), whole_numbers(GENERATOR, 4, 3, 1, 1)
    steps = (
        conv("a", INPUT, wide, padding=1, stride=2),
        conv("b", INPUT, narrow, stride=2, residual="a"),
        conv("c", INPUT, wide, padding=1, relu=True),
        PoolStep("d", "c", "max", (3, 3), (2, 2), (1, 1), False),
        AddStep("e", ("b", "d"), None, True),
        conv("out", "e", whole_numbers(GENERATOR, 2, 4, 4, 5), padding=4, stride=3),
    )
    half, third = (4, 5, 6), (2, 4, 4)
    shapes = {INPUT: (3, 9, 11), "a": half, "b": half, "c": (4, 9, 11), "d": half, "e": half}
    program = Program(steps, {**shapes, "out": third}, "out", flat=False)
    images = images_for(program, unit)

    for threads in (1, 2):
        outputs = network_of(program, threads)(images)
        assert torch.equal(outputs.double(), expected(program, images))
