"""A damaged sparse file is one line that names it: no other exception, no wrong network."""

import hashlib
import json
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from lightprune.errors import InputError
from lightprune.export.load import load
from lightprune.export.loaded_network import load_network
from lightprune.export.sparse_file import StoredNetwork, read_sparse, write_sparse
from lightprune.sparse.frontend.trace import trace
from lightprune.sparse.ir.serialize import to_json
from tests.export.finished import OWN, prune_convolutions, small_network, with_statistics
from tests.export.test_sparse_file import SPEC, same


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damage")


@pytest.fixture(scope="module")
def file(folder):
    """An intact file."""
    network = with_statistics(small_network())
    prune_convolutions(network, 0.9)
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    described = replace(SPEC, constructor=OWN, arguments={}, input_shape=(3, 8, 8))
    stored = StoredNetwork(described, to_json(trace(network, (3, 8, 8))), state)
    write_sparse(folder / "intact.sparse.safetensors", stored)
    return folder / "intact.sparse.safetensors"


def contents(file):
    """Metadata and arrays."""
    with safe_open(file, framework="np") as opened:
        names = opened.keys()
        return opened.metadata(), {name: opened.get_tensor(name) for name in names}


def sealed(path, about, arrays):
    """Writes a file whose checksum is right, whatever it holds."""
    about = {key: value for key, value in about.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.size} ".encode())
        digest.update(array.tobytes())
    save_file(arrays, path, {**about, "sha256": digest.hexdigest()})
    return path


def packed(text):
    return np.frombuffer(zlib.compress(text), np.uint8).copy()


def refused(path):
    """Checks that the file is refused in one line that names it."""
    with pytest.raises(InputError) as error:
        load(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    return str(error.value)


def intact_or_refused(path, file):
    try:
        stored = read_sparse(path)
    except InputError:
        refused(path)
        return
    expected = read_sparse(file)
    assert (stored.spec, stored.graph) == (expected.spec, expected.graph)
    assert same(stored.state, expected.state)


@given(data=st.data())
def test_no_changed_byte_gives_another_network(folder, file, data):
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        # Half of the damage in the header: it is a small part of the file.
        end = data.draw(st.sampled_from([700, len(content)]))
        place = data.draw(st.integers(0, min(end, len(content)) - 1))
        kind = data.draw(st.sampled_from(["flip", "cut", "insert", "remove"]))
        if kind == "flip":
            content[place] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "cut":
            del content[place + 1 :]
        elif kind == "insert":
            content[place:place] = data.draw(st.binary(min_size=1, max_size=4))
        else:
            del content[place : place + 3]
        content = content or bytearray(b"x")
    path = folder / "changed.sparse.safetensors"
    path.write_bytes(content)

    intact_or_refused(path, file)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(data=st.data())
def test_a_table_changed_by_hand_is_refused_or_means_the_same(folder, file, data):
    about, arrays = contents(file)
    rows = json.loads(zlib.decompress(arrays["tensors"].tobytes()))
    # A tensor of zeros may have any shape: only the graph knows.
    row = data.draw(st.sampled_from([row for row in rows if row["kept"] != 0]))
    field = data.draw(st.sampled_from([*row, "other"]))
    numbers = st.integers(-2, 2**40) | st.sampled_from([0, 2**30, 2**31, 10**30])
    value = data.draw(JSON | numbers | st.lists(numbers) | st.sampled_from(["bool", "float16"]))
    before = row.get(field)
    row[field] = value
    arrays["tensors"] = packed(json.dumps(rows).encode())
    path = sealed(folder / "table.sparse.safetensors", about, arrays)

    try:
        stored = read_sparse(path)
    except InputError:
        refused(path)
        return
    # Only another name, or another shape of as many weights, can be meant.
    assert value == before or field == "name" or np.prod(value) == np.prod(before)
    assert sorted(a.tobytes() for a in stored.state.values()) == sorted(
        a.tobytes() for a in read_sparse(file).state.values()
    )


@given(text=JSON, key=st.sampled_from(["whole", *vars(SPEC)]))
def test_a_hostile_description_is_refused_or_read(folder, file, text, key):
    about, arrays = contents(file)
    described = json.loads(about["description"])
    about["description"] = json.dumps(text if key == "whole" else {**described, key: text})
    path = sealed(folder / "described.sparse.safetensors", about, arrays)

    try:
        read_sparse(path)
    except InputError:
        refused(path)


@given(name=st.sampled_from(["positions", "values.float32", "tensors", "graph"]), data=st.data())
def test_arrays_changed_by_hand_are_refused_or_fit(folder, file, name, data):
    about, arrays = contents(file)
    plain = bytearray(zlib.decompress(arrays[name].tobytes()))
    place = data.draw(st.integers(0, len(plain) - 1))
    plain[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    arrays[name] = packed(bytes(plain))
    path = sealed(folder / "arrays.sparse.safetensors", about, arrays)

    try:
        stored = read_sparse(path)
    except InputError:
        refused(path)
        return
    assert sum(a.nbytes for a in stored.state.values()) < 2**20


DEEP = b"[" * 10**6


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("tensors", packed(DEEP), "table of tensors"),
        ("tensors", packed(b"3"), "table of tensors"),
        ("tensors", packed(b"[]"), "at most 0 bytes"),
        ("tensors", packed(bytes(2**24 + 1)), "at most"),
        ("positions", packed(bytes(2**24)), "at most"),
        ("positions", np.zeros(4, np.float32), "flat bytes"),
        ("positions", np.zeros((2, 2), np.uint8), "flat bytes"),
        ("positions", None, "positions"),
        ("values.float32", packed(bytes(8)), "values of float32"),
        ("values.float16", packed(b""), "it holds values.float16 as well"),
        ("graph", packed(b"\xff"), "utf-8"),
    ],
)
def test_what_is_hostile_is_refused(tmp_path, file, name, array, said):
    about, arrays = contents(file)
    arrays[name] = array
    if array is None:
        del arrays[name]

    assert said in refused(sealed(tmp_path / "hostile.sparse.safetensors", about, arrays))


@pytest.mark.parametrize("graph", [b"{}", b"", DEEP, b'{"version": 1, "nodes": [{}]}'])
def test_a_hostile_graph_is_refused_where_it_is_run(tmp_path, file, graph):
    about, arrays = contents(file)
    path = sealed(tmp_path / "g.sparse.safetensors", about, {**arrays, "graph": packed(graph)})

    assert "sparse graph" in refused(path)
    with pytest.raises(InputError, match=rf"^{path}: sparse graph"):
        load_network(path, lambda num_classes: small_network())


@given(data=st.data())
def test_a_graph_changed_by_hand_is_refused_or_runs(folder, file, data):
    about, arrays = contents(file)
    graph = json.loads(zlib.decompress(arrays["graph"].tobytes()))
    part = data.draw(st.sampled_from([graph, *graph["nodes"]]))
    key = data.draw(st.sampled_from(list(part)))
    numbers = st.integers(-2, 6) | st.sampled_from([2**20, 2**40])
    names = st.sampled_from([node["name"] for node in graph["nodes"]])
    part[key] = data.draw(JSON | numbers | names | st.lists(numbers | names, max_size=3))
    arrays["graph"] = packed(json.dumps(graph).encode())
    path = sealed(folder / "graph.sparse.safetensors", about, arrays)

    try:
        network = load(path)
    except InputError:
        refused(path)
        return
    assert network(torch.zeros(1, 3, 8, 8)).shape[0] == 1


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("format", "other", "format other, version 1; allowed is lightprune-sparse, version 1"),
        ("version", "3", "version 3; allowed"),
        ("version", None, "version None"),
        ("description", None, "description"),
        ("description", DEEP.decode(), "description"),
    ],
)
def test_other_metadata_are_refused(tmp_path, file, key, value, said):
    about, arrays = contents(file)
    about = {k: v for k, v in {**about, key: value}.items() if v is not None}

    assert said in refused(sealed(tmp_path / "about.sparse.safetensors", about, arrays))


def test_a_file_without_a_checksum_or_metadata_is_refused(tmp_path, file):
    about, arrays = contents(file)
    path = tmp_path / "bare.sparse.safetensors"
    del about["sha256"]
    save_file(arrays, path, about)
    assert "lacks 'sha256'" in refused(path)
    save_file(arrays, path)
    assert "format None" in refused(path)
