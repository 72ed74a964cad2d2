"""Weights are found in what trainers, wrappers and torch.nn.utils.prune save, under any name."""

import pickle
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

from lightprune.errors import InputError
from lightprune.runs.weights_file import read_weights_file


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


class Wrapped(nn.Module):
    """A network as the attribute of another, as it is in a LightningModule."""

    def __init__(self, name, inner):
        super().__init__()
        self.add_module(name, inner)


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def saved(tmp_path, content, name="a.ckpt"):
    torch.save(content, tmp_path / name)
    return tmp_path / name


WRAPPERS = st.lists(st.sampled_from(["model", "module", "network", "net", "_orig_mod"]), max_size=4)
KEYS = st.lists(st.sampled_from(["state_dict", "model_state_dict", "model", "net"]), max_size=3)


@given(wrappers=WRAPPERS, keys=KEYS)
def test_wrappers_and_keys_may_be_nested_in_any_way(tmp_path_factory, wrappers, keys):
    wrapped = expected = network()
    for name in wrappers:
        wrapped = Wrapped(name, wrapped)
    content = wrapped.state_dict()
    for key in keys:
        content = {"epoch": 3, key: content}
    file = saved(tmp_path_factory.mktemp("nested"), content)
    state, outside = read_weights_file(file, expected.state_dict().keys())

    assert equal(state, expected.state_dict())
    assert outside == ()


def test_what_torch_itself_wraps_is_read(tmp_path):
    plain = network()
    names = plain.state_dict().keys()
    for wrapped in (nn.DataParallel(plain), torch.compile(plain)):
        file = saved(tmp_path, {"state_dict": wrapped.state_dict()})
        assert equal(read_weights_file(file, names)[0], plain.state_dict())


def test_a_compiled_part_is_read(tmp_path):
    outer, expected = Wrapped("body", network()), Wrapped("body", network())
    expected.load_state_dict(outer.state_dict())
    outer.body = torch.compile(outer.body)
    file = saved(tmp_path, outer.state_dict())

    assert equal(read_weights_file(file, expected.state_dict().keys())[0], expected.state_dict())


def test_a_network_may_itself_have_a_part_of_a_wrappers_name(tmp_path):
    inner = Wrapped("model", network())
    names = inner.state_dict().keys()

    for content in (inner, Wrapped("model", inner), Wrapped("module", inner)):
        file = saved(tmp_path, content.state_dict())
        assert equal(read_weights_file(file, names)[0], inner.state_dict())


@pytest.mark.parametrize("name", ["student", "backbone"])
def test_any_one_name_may_stand_before_all(tmp_path, name):
    file = saved(tmp_path, {"state_dict": Wrapped(name, network()).state_dict()})
    state, outside = read_weights_file(file, network().state_dict().keys())

    assert state.keys() == network().state_dict().keys()
    assert outside == ()


@pytest.mark.parametrize("names", [("student", "teacher"), ("model", "ema_model")])
def test_of_two_networks_in_a_file_the_one_is_read_that_is_named(tmp_path, names):
    first, second = (f"{name}.{'net.' * (name == 'teacher')}" for name in names)
    both = [network(), network()]
    tensors = {
        f"{start}{name}": tensor
        for start, net in zip((first, second), both, strict=True)
        for name, tensor in net.state_dict().items()
    }
    file, expected = saved(tmp_path, {"state_dict": tensors}), network().state_dict().keys()
    options = [f"--prefix={start.removesuffix('.')}" for start in (first, second)]

    message = (
        f"{file}: holds 2 networks of these names, behind {first}, {second}; "
        f"allowed is one of {', '.join(options)}"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        read_weights_file(file, expected)
    for name, net in zip(names, both, strict=True):
        state, outside = read_weights_file(file, expected, prefix=name)
        assert equal(state, net.state_dict())
        assert len(outside) == len(expected)
        assert not any(n.startswith(f"{name}.") for n in outside)
    with pytest.raises(InputError, match=r"^dense.prefix=mean: no name in .* begins with mean.; "):
        read_weights_file(file, expected, "dense.checkpoint=a", "mean", "dense.prefix")


def test_a_network_that_a_module_has_under_two_names_is_one(tmp_path):
    module = Wrapped("backbone", network())
    module.fast = torch.compile(module.backbone)
    state, outside = read_weights_file(
        saved(tmp_path, module.state_dict()), network().state_dict().keys()
    )

    assert equal(state, module.backbone.state_dict())
    assert len(outside) == len(state)


def test_names_of_old_densenets_are_read(tmp_path):
    names = ("denselayer1.norm1.weight", "denselayer1.conv2.weight", "norm.1.weight")
    old = ("denselayer1.norm.1.weight", "denselayer1.conv.2.weight", "norm.1.weight")
    file = saved(tmp_path, {f"module.{name}": torch.ones(1) for name in old})

    assert tuple(read_weights_file(file, names)[0]) == names


def test_parameters_are_read_as_plain_tensors(tmp_path):
    file = saved(tmp_path, dict(network().named_parameters()))
    state, _ = read_weights_file(file, network().state_dict().keys())

    assert not any(tensor.requires_grad for tensor in state.values())


def test_what_is_no_file_of_weights_is_said(tmp_path):
    with pytest.raises(InputError, match=r": is a folder; allowed are safetensors"):
        read_weights_file(tmp_path, ())
    torch.jit.script(network()).save(tmp_path / "a.pt")
    with pytest.raises(
        InputError, match=r"cannot be read \(it is a TorchScript program\); allowed"
    ):
        read_weights_file(tmp_path / "a.pt", ())


def test_tensors_beside_the_network_are_named_and_left_out(tmp_path):
    module = Wrapped("model", network())
    module.register_buffer("class_weights", torch.ones(2))
    module.ema = network()[:2]
    state, outside = read_weights_file(
        saved(tmp_path, {"state_dict": module.state_dict()}), network().state_dict().keys()
    )

    assert equal(state, module.model.state_dict())
    assert outside == ("class_weights", *(f"ema.{name}" for name in module.ema.state_dict()))


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_what_torch_prune_saves_is_read_with_its_zeros(tmp_path, suffix):
    pruned, names = network(), network().state_dict().keys()
    for layer in (pruned[0], pruned[3]):
        prune.random_unstructured(layer, "weight", 0.5)
    file = tmp_path / f"a.{suffix}"
    write = save_file if suffix == "safetensors" else torch.save
    write(Wrapped("module", pruned).state_dict(), file)
    state, _ = read_weights_file(file, names)
    for layer in (pruned[0], pruned[3]):
        prune.remove(layer, "weight")

    assert state["0.weight"].count_nonzero() == state["0.weight"].numel() // 2
    assert equal(state, pruned.state_dict())


def test_a_masked_weight_is_a_plain_zero_whatever_it_was(tmp_path):
    pruned = network()
    prune.custom_from_mask(pruned[3], "weight", torch.zeros(2, 4))
    pruned[3].weight_orig.data[0] = -torch.inf
    file = saved(tmp_path, pruned.state_dict())
    weight = read_weights_file(file, network().state_dict().keys())[0]["3.weight"]

    assert torch.equal(weight.view(torch.int32), torch.zeros(2, 4, dtype=torch.int32))


class Code:
    def __reduce__(self):
        return print, ("ran",)


def test_a_checkpoint_with_code_is_refused_by_the_name_of_what_it_would_run(tmp_path, capsys):
    file = saved(tmp_path, {"state_dict": network().state_dict(), "hyper_parameters": Code()})
    with pytest.raises(InputError, match=r"a.ckpt: cannot be read without running code from it"):
        read_weights_file(file, ())
    file.write_bytes(pickle.dumps(Code()))
    with pytest.raises(InputError, match=r"a.ckpt: cannot be read"):
        read_weights_file(file, (), "dense.checkpoint=a.ckpt")

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "content",
    [{}, {"state_dict": {}}, {"model": 3}, {"weights": {"a": torch.ones(1)}}, [torch.ones(1)]],
)
def test_a_file_without_a_state_dict_is_refused(tmp_path, content):
    with pytest.raises(InputError, match=r"a.ckpt: holds no state dict; allowed is what"):
        read_weights_file(saved(tmp_path, content), ())
