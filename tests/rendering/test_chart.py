"""Charts as SVG: marks stand where their numbers say, labels apart, text is no markup."""

import re
from itertools import pairwise
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from lightprune.rendering.chart import Axis, Band, Mark, Series, number_axis, xy_chart
from lightprune.rendering.heat_map import heat_map
from lightprune.rendering.svg import standalone

X, Y = Axis("x", 0.0, 10.0, ((0.0, "0"), (10.0, "10"))), Axis("y", 0.0, 1.0, ((0.5, "50"),))


def drawn(svg):
    return ElementTree.fromstring(re.sub(r"<svg ", '<svg xmlns:x="x" ', svg, count=1))


def places(svg):
    marks = re.findall(r'<path class="m" [^>]*translate\(([\d.]+) ([\d.]+)\)', svg)
    return [(float(x), float(y)) for x, y in marks]


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1)), min_size=2, max_size=20))
def test_marks_stand_in_the_order_of_their_numbers(points):
    series = Series("", tuple(Mark(x, y) for x, y in points), 0)
    at = places(xy_chart("t", X, Y, [series]))

    for (x, y), (across, down) in zip(points, at, strict=True):
        assert abs(across - (62 + 78.8 * x)) < 0.1
        assert abs(down - (332 - 318 * y)) < 0.1


@given(st.floats(1e-4, 1e3), st.floats(1.01, 1e4), st.booleans())
def test_an_axis_has_round_ticks_around_its_values(low, ratio, log):
    axis = number_axis("x", [low, low * ratio], log=log)

    assert axis.start <= low < low * ratio <= axis.end
    assert len(axis.ticks) <= 16
    assert all(axis.start <= at <= axis.end for at, _ in axis.ticks)
    assert all(abs(float(words) - at) <= 1e-4 * abs(at) for at, words in axis.ticks)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_labels_of_series_stand_apart(ends):
    series = [Series(f"n{i}", (Mark(5.0, y),), i) for i, y in enumerate(ends)]
    svg = xy_chart("t", X, Y, series)
    heights = sorted(float(y) for y in re.findall(r'<text class="b" x="\d+" y="([\d.]+)"', svg))

    assert len(heights) == len(ends)
    assert all(below - above > 20 for above, below in pairwise(heights))


def test_series_differ_in_marker_and_dashes_and_no_name_is_markup():
    series = [Series(f"<{i}>", (Mark(1, 0.5, "<&>"), Mark(2, 0.5)), i) for i in range(6)]
    svg = standalone(xy_chart("a & b", X, Y, series, [Band("<b>", 0.1, 0.2, 0.3)]))

    drawn(svg)
    assert len(set(re.findall(r'<path class="m" d="([^"]*)"', svg))) == 6
    assert len(set(re.findall(r"stroke-dasharray:([^}]*)}", svg))) == 6
    assert "&lt;&amp;&gt;" in svg
    assert "&lt;b&gt;" in svg


def test_what_lies_below_the_axis_stands_on_its_edge_with_an_arrow():
    svg = xy_chart("t", X, Y, [Series("a", (Mark(5.0, -3.0),), None)])

    assert places(svg) == [(456.0, 332.0)]
    assert "↓" in svg


def test_a_heat_map_has_a_cell_for_every_number():
    svg = heat_map("t", ["conv1", "fc"], [("a", [(-0.5, "−1"), (0.5, "+1")]), ("b", [(0, "0")])])

    drawn(svg)
    assert [svg.count(f">{words}<") for words in ("−1", "+1", "0", "conv1", "a")] == [1] * 5
    assert (svg.count('class="lose"'), svg.count('class="gain"')) == (1, 1)
