"""The speed-up by sparsity, as the report on this checkout's results shows it."""

from lightprune.rendering.document import Figure, Table
from study.speed_by_sparsity import speed_by_sparsity_section
from tests.report.run_folders import speed_ups


def blocks(sweep, kind):
    return [block for block in speed_by_sparsity_section(sweep) if isinstance(block, kind)]


def test_the_curve_comes_with_its_break_even():
    sweep = speed_ups(resnet18={0.0: 3.0, 0.5: 2.0, 0.9: 0.5}, vgg16_bn={0.95: 0.2})
    (figure,) = blocks(sweep, Figure)
    (table,) = blocks(sweep, Table)

    assert figure.name == "speedup-resnet18"
    assert "1 thread, batch 64: 77 % (23 % of the MACs)" in figure.caption
    assert [row[0] for row in table.rows] == ["resnet18"] * 3 + ["vgg16_bn"]
    assert table.rows[-1] == (
        *("vgg16_bn", "95 %", "47.5 %", "5.0 %", "1e-06 of 3"),
        *("0.1", "5.00", "2.50", "6.4", "5.00", "2.50"),
    )


def test_where_it_breaks_even_is_said_as_far_as_it_is_known():
    sweep = speed_ups(slow={0.5: 3.0, 0.9: 2.0}, fast={0.5: 0.9, 0.9: 0.5})
    slow, fast = blocks(sweep, Figure)

    assert "1 thread, batch 1: not reached;" in slow.caption
    assert "1 thread, batch 1: at most 50 % (50 % of the MACs);" in fast.caption


def test_without_the_benchmark_there_is_no_section():
    assert not [*speed_by_sparsity_section(None)]
