"""What a report says of unreachable weights, on counts made by hand."""

from lightprune.report.sections.unreachable_weights import (
    first_against_rank_lines,
    unreachable_section,
    unreachable_zeros,
)
from tests.report.run_folders import config, event, findings_of, make_run

GOOD = [True] * 180 + [False] * 20
POOR = [True] * 120 + [False] * 80


def both(folder, *, digests, unreachable_nonzero):
    """Rank and first at 98 % of 10,000 weights, 2,000 of them alive."""
    for name, mode, digest, nonzero, right in (
        ("rank", "rank", digests[0], unreachable_nonzero, POOR),
        ("first", "first", digests[1], 0, GOOD),
    ):
        make_run(
            folder / name,
            right,
            dense_right=GOOD,
            config=config(unreachable=mode),
            live_nnz=200 - nonzero,
            unreachable_nnz=nonzero,
            events=[event(0, 0.98, 0.9, digest=digest)],
        )
    findings = findings_of(folder)
    return findings.groups, [*unreachable_section(findings)]


def test_the_zeros_on_unreachable_weights_are_counted(tmp_path):
    groups, blocks = both(tmp_path, digests="ab", unreachable_nonzero=80)
    zeros = {group.kind: unreachable_zeros(group.first.cost) for group in groups}
    counts = {row[0]: row[3:8] for row in blocks[3].rows}

    assert counts["global 98 % one_shot, unreachable first"] == (
        "9,800",
        "8,000",
        "81.6 %",
        "0",
        "200",
    )
    assert counts["global 98 % one_shot"] == ("9,800", "7,920", "80.8 %", "80", "120")
    assert zeros == {"global one_shot, unreachable first": 8000, "global one_shot": 7920}
    assert blocks[0].startswith("8,000 of the 10,000 prunable weights (80 %)")
    assert (
        "of the 9,800 zeros of global 98 % one_shot (seed 0) 7,920 (80.82 %) are weights that no "
        "input reaches" in blocks[1]
    )
    assert blocks[2] == (
        "Setting them alone to zero in the dense network changes the class of 0 of 200 test images."
    )


def test_what_first_buys_is_said_with_the_test(tmp_path):
    _, blocks = both(tmp_path, digests="ab", unreachable_nonzero=80)
    (line,) = first_against_rank_lines(findings_of(tmp_path))
    row = blocks[-1].rows[0]

    assert row[:6] == ("98 %", "0", "80", "60.00 %", "90.00 %", "+30.00")
    assert row[6] == "seed 0: global 98 % one_shot, unreachable first is more accurate"
    assert line.endswith(": 98 % +30.00 pp (separated) by the paired test.")


def test_equal_masks_are_said_to_be_equal(tmp_path):
    _, blocks = both(tmp_path, digests="aa", unreachable_nonzero=0)

    assert "At 98 % ranking alone removed every unreachable weight already" in blocks[-2]


def test_a_network_without_unreachable_weights_is_said_to_have_none(tmp_path):
    layers = {"conv1.weight": (1000, 1000, 16)}
    make_run(tmp_path / "run", GOOD, dense_right=GOOD, config=config(), layers=layers, live_nnz=20)
    (block,) = unreachable_section(findings_of(tmp_path))

    assert "Every prunable weight" in block


def test_a_network_without_unreachable_weights_does_not_speak_for_others(tmp_path):
    layers = {"conv1.weight": (1000, 1000, 16)}
    make_run(tmp_path / "a", GOOD, dense_right=GOOD, config=config(), layers=layers, live_nnz=20)
    make_run(tmp_path / "b", GOOD, dense_right=GOOD, config=config(sparsity=0.99), live_nnz=100)
    blocks = [*unreachable_section(findings_of(tmp_path))]

    assert blocks[0].startswith("8,000 of the 10,000 prunable weights")
    assert [row[0] for row in blocks[3].rows] == ["global 99 % one_shot"]


def test_first_and_rank_are_compared_on_the_seeds_that_both_have(tmp_path):
    for name, mode, digest, seed, right in (
        ("rank0", "rank", "a", 0, POOR),
        ("rank1", "rank", "a", 1, GOOD),
        ("first0", "first", "b", 0, GOOD),
    ):
        settings = config(unreachable=mode, seed=seed)
        events = [event(0, 0.98, 0.9, digest=digest)]
        make_run(tmp_path / name, right, dense_right=GOOD, config=settings, events=events)
    row = [*unreachable_section(findings_of(tmp_path))][-1].rows[0]

    assert row[1] == "0"
    assert row[3:6] == ("60.00 %", "90.00 %", "+30.00")
