import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lightprune.errors import InputError
from lightprune.sparse.frontend.trace import trace
from lightprune.sparse.ir.serialize import from_json, to_json


class Everything(nn.Module):
    """Every kind of op once."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)
        self.max, self.avg = nn.MaxPool2d(2), nn.AvgPool2d(2, padding=1, stride=1)
        self.up, self.fc = nn.AdaptiveAvgPool2d(5), nn.Linear(100, 3)

    def forward(self, x):
        x = torch.cat([x, x + self.norm(self.conv(x)).relu()], 1)
        return self.fc(self.up(self.avg(self.max(x))).flatten(1))


@pytest.fixture(scope="module")
def graph():
    return trace(Everything(), (2, 6, 6))


@pytest.fixture(scope="module")
def text(graph):
    return to_json(graph)


def test_a_graph_survives_being_written_and_read(graph, text):
    read = from_json(text)

    assert read == graph
    assert read.shapes == graph.shapes
    assert len({type(op) for op in graph.ops}) == 10
    assert to_json(read) == text


def test_operations_that_move_pixels_survive_being_written_and_read():
    layers = nn.ConvTranspose2d(2, 4, 3, 2, 1, 1), nn.PixelShuffle(2), nn.ZeroPad2d((1, 0, 0, 2))
    graph = trace(nn.Sequential(*layers), (2, 3, 4))

    read = from_json(to_json(graph))

    assert read == graph
    assert read.shapes[read.output] == (1, 14, 17)


def test_a_file_of_format_version_1_is_read_and_written_as_it_is():
    text = (Path(__file__).parent / "graph_v1.json").read_text().strip()
    graph = from_json(text)

    assert to_json(graph) == text
    assert len({type(op) for op in graph.ops}) == 10
    assert graph.shapes[graph.output] == (3, 1, 1)
    assert graph.ops[0].padding == ((1, 1), (1, 1))


@given(st.data())
def test_damaged_text_is_an_input_error_or_a_graph_that_fits_together(text, data):
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(['"', "9", "-", "[", "}", "", "e", "\x00", "\ud800", "0,0"]))
    damaged = text[:at] + other + text[at + data.draw(st.integers(0, 3)) :]

    try:
        read = from_json(damaged)
    except InputError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    else:
        assert from_json(to_json(read)) == read


JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(st.data())
def test_any_other_value_in_any_place_is_an_input_error_or_a_graph_that_fits(text, data):
    record = json.loads(text)
    node = data.draw(st.sampled_from(record["nodes"]))
    place = data.draw(st.sampled_from([record, node]))
    key = data.draw(st.sampled_from(sorted(place)))
    place[key] = data.draw(JUNK)

    try:
        read = from_json(json.dumps(record))
    except InputError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    else:
        assert from_json(to_json(read)) == read


def changed(text, **settings):
    """The text with attributes of the first node replaced."""
    record = json.loads(text)
    conv = next(node for node in record["nodes"] if node["op"] == "Conv")
    conv.update(settings)
    return json.dumps(record)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda t: "", "damaged"),
        (lambda t: "[" * 100_000, "damaged"),
        (lambda t: "9" * 10_000, "damaged"),
        (lambda t: "null", "Expected `object`"),
        (lambda t: t.replace('"version":1', '"version":2'), "version 2"),
        (lambda t: t.replace('"version":1', '"version":1,"version":1'), "twice"),
        (lambda t: t.replace('"op":"Conv"', '"op":"__import__"'), "newer version: .*__import__"),
        (lambda t: changed(t, more=1), "unknown field `more`"),
        (lambda t: changed(t, stride=[True, 1]), r"nodes\[0\]\.stride"),
        (lambda t: changed(t, stride=[0, 1]), "stride"),
        (lambda t: changed(t, stride=[1]), r"nodes\[0\]\.stride"),
        (lambda t: changed(t, padding=[[-1, 0], [0, 0]]), "padding"),
        (lambda t: changed(t, channels=2**60), "shape would be"),
        (lambda t: changed(t, channels=2**24 * 3, groups=1), "shape would be"),
        (lambda t: changed(t, groups=0), "groups"),
        (lambda t: changed(t, inputs=["nobody"]), "nobody"),
        (lambda t: changed(t, inputs=[]), r"length >= 1 - at .*inputs"),
        (lambda t: changed(t, inputs=["input", "input"]), "does not fit"),
        (lambda t: changed(t, weight=None), r"nodes\[0\]\.weight"),
        (lambda t: t.replace('"input_shape":[2,6,6]', '"input_shape":[2,0,6]'), "input of shape"),
        (lambda t: t.replace('"eps":1e-05', '"eps":NaN'), "eps"),
        (lambda t: t.replace('"output":"linear"', '"output":"input"'), "output"),
        (lambda t: t.replace('"output":"linear"', '"output":"conv2d"'), "not flat"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(text, damage, named):
    assert damage(text) != text
    with pytest.raises(InputError, match=named) as refused:
        from_json(damage(text))

    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["input/0", "input%2x2", "a b", ""])
def test_a_name_that_is_reserved_for_the_compiler_is_refused(text, name):
    first = json.loads(text)["nodes"][0]["name"]

    with pytest.raises(InputError, match="not by an identifier"):
        from_json(text.replace(json.dumps(first), json.dumps(name)))


@pytest.mark.parametrize(
    "conv", [nn.Conv2d(2, 1, 1, stride=65), nn.Conv2d(2, 1, 1, padding=4097)], ids=str
)
def test_windows_that_would_fill_the_memory_are_refused(conv):
    with pytest.raises(InputError, match=r"stride|padding"):
        trace(conv, (2, 6, 6))
