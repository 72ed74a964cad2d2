"""The weights that torch.export saves are read as they are, and nothing else of the file."""

import json
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from lightprune.errors import InputError
from lightprune.runs.weights_file import read_weights_file


def exported(folder, network):
    file = folder / "network.pt2"
    program = torch.export.export(network.eval(), (torch.randn(2, 3, 4, 4),))
    torch.export.save(program, file)
    return file


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    torch.manual_seed(0)
    return exported(tmp_path_factory.mktemp("pt2"), network())


def test_the_state_dict_of_the_exported_module_is_read(file):
    torch.manual_seed(0)
    expected = network().state_dict()

    state, outside = read_weights_file(file, expected)

    assert outside == ()
    assert list(state) == list(expected)
    assert all(torch.equal(state[n], t) and state[n].dtype == t.dtype for n, t in expected.items())


def test_masks_of_torch_prune_are_applied(tmp_path):
    plain, masked = network(), network()
    prune.l1_unstructured(masked[0], "weight", amount=0.5)

    state, _ = read_weights_file(exported(tmp_path, masked), plain.state_dict())

    assert torch.equal(state["0.weight"], masked[0].weight)


def rewritten(file, to, change=lambda entry: None, compression=ZIP_STORED):
    """The file with another entry for the first weight."""
    with ZipFile(file) as source, ZipFile(to, "w", compression) as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("weights_config.json"):
                table = json.loads(content)
                change(table["config"]["0.weight"])
                content = json.dumps(table).encode()
            target.writestr(name, content)
    return to


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda e: e.update(use_pickle=True), "it is pickled or compressed"),
        (lambda e: e.update(path_name="weight_99"), "weight_99"),
        (lambda e: e["tensor_meta"].update(dtype=99), "99"),
        (lambda e: e["tensor_meta"].update(sizes=[{"as_int": 10**12}]), "shorter than its shape"),
        (lambda e: e["tensor_meta"].update(sizes=[{"as_int": -1}] * 4), "0.weight"),
        (lambda e: e["tensor_meta"].update(storage_offset={"as_int": 10**9}), "0.weight"),
        (lambda e: e.pop("tensor_meta"), "tensor_meta"),
    ],
    ids=["pickle", "file", "dtype", "size", "negative", "offset", "table"],
)
def test_a_changed_table_is_refused_in_one_line(file, tmp_path, change, line):
    changed = rewritten(file, tmp_path / "changed.pt2", change)

    with pytest.raises(InputError) as refused:
        read_weights_file(changed, network().state_dict())

    assert str(refused.value).startswith(f"{changed}: cannot be read (0.weight: ")
    assert line in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_another_archive_is_refused(file, tmp_path):
    packed = rewritten(file, tmp_path / "packed.pt2", compression=ZIP_DEFLATED)
    with pytest.raises(InputError, match=r"cannot be read \(0.weight: it is pickled or compressed"):
        read_weights_file(packed, network().state_dict())

    torch.save(network().state_dict(), tmp_path / "state.pt2")
    with pytest.raises(InputError, match=r"it holds no weights of torch\.export"):
        read_weights_file(tmp_path / "state.pt2", network().state_dict())
