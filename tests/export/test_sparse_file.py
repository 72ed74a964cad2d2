"""The sparse file: lossless, small, quick to read."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from safetensors import safe_open
from torchvision.models import resnet18

from lightprune.errors import InputError
from lightprune.export.reduced_precision import as_stored
from lightprune.export.sparse_file import StoredNetwork, read_sparse, write_sparse
from lightprune.models.spec import ModelSpec
from tests.export.finished import prune_convolutions, with_statistics

SPEC = ModelSpec(
    constructor="torchvision.models.resnet18",
    arguments={"norm_layer": None, "replace_stride_with_dilation": [False, False, False]},
    input_shape=(3, 32, 32),
    mean=(0.5, 0.25, 0.1),
    std=(0.2, 0.2, 1),
    classes=("cat", "\N{SNOWMAN}"),
)
SPECIAL = (np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.4e38, 0.0)


@st.composite
def tensors(draw):
    """Of any dtype, shape and density; floats with everything a float can be."""
    dtype = np.dtype(draw(st.sampled_from(["f2", "f4", "f8", "?", "u1", "i1", "i2", "i4", "i8"])))
    shape = draw(st.just(()) | array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=12))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    kept = random.random(shape) < draw(st.sampled_from([0, 0.001, 0.02, 0.3, 0.8, 1]))
    values = random.normal(scale=100, size=shape)
    if dtype.kind == "f":
        values = np.where(random.random(shape) < 0.1, random.choice(SPECIAL, shape), values)
    with np.errstate(all="ignore"):
        return np.asarray(np.where(kept, values, 0)).astype(dtype)


@pytest.fixture(scope="module")
def network():
    """ResNet18 at 98 %: weights as He initialises them, the smallest ones zero."""
    torch.manual_seed(0)
    network = with_statistics(resnet18(num_classes=10))
    prune_convolutions(network, 0.98)
    return StoredNetwork(SPEC, "{}", {n: t.numpy() for n, t in network.state_dict().items()})


def same(first, second):
    """Whether two state dicts are equal bit for bit."""
    kinds = [[(n, a.dtype, a.shape) for n, a in state.items()] for state in (first, second)]
    return kinds[0] == kinds[1] and all(first[n].tobytes() == second[n].tobytes() for n in first)


@given(state=st.dictionaries(st.text(max_size=5), tensors(), max_size=5), graph=st.text())
def test_everything_comes_back_bit_for_bit(tmp_path_factory, state, graph):
    file = tmp_path_factory.getbasetemp() / "any.sparse.safetensors"
    write_sparse(file, StoredNetwork(SPEC, graph, state))

    stored = read_sparse(file)

    assert (stored.spec, stored.graph) == (SPEC, graph)
    assert same(stored.state, state)


@given(tensor=tensors())
def test_fp16_rounds_weights_and_leaves_the_rest_alone(tmp_path_factory, tensor):
    file = tmp_path_factory.getbasetemp() / "half.sparse.safetensors"
    halved = tensor.dtype == np.float32 and tensor.ndim > 1
    finite = np.where(abs(tensor) < 6e4, tensor, 1).astype(tensor.dtype) if halved else tensor
    write_sparse(file, StoredNetwork(SPEC, "", {"weight": finite}), "fp16")

    expected = finite.astype(np.float16).astype(np.float32) if halved else finite
    assert same(read_sparse(file).state, {"weight": expected})


@given(tensor=tensors())
def test_int8_moves_no_weight_by_more_than_half_a_step_of_its_channel(tmp_path_factory, tensor):
    file = tmp_path_factory.getbasetemp() / "eighth.sparse.safetensors"
    reduced = tensor.dtype == np.float32 and tensor.ndim > 1
    weight = np.where(np.isfinite(tensor), tensor, 1).astype(tensor.dtype) if reduced else tensor
    write_sparse(
        file, StoredNetwork(SPEC, "", {"weight": weight, "int8": np.ones(3, "i1")}), "int8"
    )

    stored = read_sparse(file).state
    assert same({"i": stored["int8"]}, {"i": np.ones(3, "i1")})
    assert same(stored, as_stored({"weight": weight, "int8": stored["int8"]}, "int8"))
    if not reduced:
        assert same({"w": stored["weight"]}, {"w": weight})
        return
    assert (stored["weight"].dtype, stored["weight"].shape) == (weight.dtype, weight.shape)
    assert (stored["weight"][weight == 0] == 0).all()
    axes = tuple(range(1, weight.ndim))
    largest = abs(weight).max(axis=axes, keepdims=True, initial=0).astype(np.float64)
    # Float32 rounds the scale and the product; the smallest scales are denormal.
    allowed = largest / 254 * (1 + 1e-5) + 1e-43
    assert (abs(stored["weight"].astype(np.float64) - weight) <= allowed).all()


def test_int8_refuses_what_is_not_finite_and_damaged_scales_are_noticed(tmp_path, monkeypatch):
    file = tmp_path / "file"
    state = {"a": np.ones((2, 2), np.float32), "b": np.full((2, 2), np.inf, np.float32)}
    with pytest.raises(InputError, match=r"^b: holds NaN or infinity, which int8 cannot; .*fp32"):
        write_sparse(file, StoredNetwork(SPEC, "", state), "int8")
    assert not file.exists()

    def damaged(name, weight):
        return np.ones(weight.shape, np.int8), np.full(len(weight), np.nan, np.float32)

    monkeypatch.setattr("lightprune.export.sparse_file.to_int8", damaged)
    write_sparse(file, StoredNetwork(SPEC, "", {"a": state["a"]}), "int8")
    with pytest.raises(InputError, match=r"is damaged \(a scale is negative or not finite\)"):
        read_sparse(file)


def test_only_files_in_int8_are_of_the_later_version(tmp_path, network):
    for values, version in (("fp32", "1"), ("fp16", "1"), ("int8", "2")):
        write_sparse(tmp_path / values, network, values)
        with safe_open(tmp_path / values, "np") as file:
            assert file.metadata()["version"] == version


@pytest.mark.parametrize(("values", "megabytes"), [("fp32", 1.15), ("fp16", 0.65), ("int8", 0.44)])
def test_resnet18_at_98_percent_is_small(tmp_path, network, values, megabytes):
    file = tmp_path / "model.sparse.safetensors"
    write_sparse(file, network, values)

    assert file.stat().st_size <= megabytes * 1e6


def test_resnet18_is_read_in_no_time(tmp_path, network):
    file = tmp_path / "model.sparse.safetensors"
    write_sparse(file, network)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        stored = read_sparse(file)
        seconds.append(time.process_time() - start)

    assert same(stored.state, network.state)
    assert min(seconds) < 0.2


def test_weights_beyond_fp16_are_refused_by_name(tmp_path):
    state = {"a": np.ones((2, 2), np.float32), "b": np.full((2, 2), 7e4, np.float32)}

    with pytest.raises(InputError, match=r"^b: holds 70000, .*--values fp32"):
        write_sparse(tmp_path / "file", StoredNetwork(SPEC, "", state), "fp16")
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (np.zeros(2, np.complex64), "w: is of complex64; allowed"),
        (np.broadcast_to(np.float64(0), (2**28,)), "more than"),
    ],
)
def test_what_the_file_cannot_hold_is_refused(tmp_path, tensor, said, monkeypatch):
    monkeypatch.setattr("lightprune.export.tensor_table._LARGEST_STATE", 2**20)
    if tensor.size > 2:
        tensor = np.broadcast_to(np.float64(0), (2**18,))

    with pytest.raises(InputError, match=said):
        write_sparse(tmp_path / "file", StoredNetwork(SPEC, "", {"w": tensor}))


@pytest.mark.parametrize("name", ["weights", "num_classes", "_target_"])
def test_a_description_may_not_name_what_the_package_says_itself(name):
    with pytest.raises(ValueError, match=f"arguments.{name}"):
        ModelSpec(**{**vars(SPEC), "arguments": {name: "IMAGENET1K_V1"}})
