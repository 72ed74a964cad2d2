"""What a report says of unreachable weights, on counts made by hand."""

from lightprune.report.sections.unreachable import (
    first_against_rank_lines,
    unreachable_lines,
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
    assert zeros == {"global one_shot, unreachable first": 8000, "global one_shot": 7920}
    assert (
        "of the 9,800 zeros of global 98 % one_shot (seed 0) 7,920 (80.82 %) are weights that no "
        "input reaches" in blocks[0]
    )
    assert "Nominal 98 % is 94 % of the live weights: 16.7 times fewer, not 50.0." in blocks[0]
    assert blocks[0].endswith(
        "Setting them alone to zero in the dense network changes the class of 0 of 200 test images."
    )
    assert blocks[-1].svg.count("nominal 98.00%, live 94.00%") == 1
    assert blocks[-1].svg.count("nominal 98.00%, live 90.00%") == 1


def test_what_first_buys_is_said_with_the_test(tmp_path):
    _, blocks = both(tmp_path, digests="ab", unreachable_nonzero=80)
    (line,) = first_against_rank_lines(findings_of(tmp_path))

    assert line in blocks
    assert line.endswith(": 98 % +30.00 pp (more accurate).")


def test_equal_masks_are_said_to_be_equal(tmp_path):
    _, blocks = both(tmp_path, digests="aa", unreachable_nonzero=0)

    assert blocks[1].endswith(": 98 % +30.00 pp (the same masks).")


def test_a_network_without_unreachable_weights_has_no_section(tmp_path):
    layers = {"conv1.weight": (1000, 1000, 16)}
    make_run(tmp_path / "run", GOOD, dense_right=GOOD, config=config(), layers=layers, live_nnz=20)

    assert not [*unreachable_section(findings_of(tmp_path))]
    assert not [*unreachable_lines(findings_of(tmp_path))]


def test_a_network_without_unreachable_weights_does_not_speak_for_others(tmp_path):
    layers = {"conv1.weight": (1000, 1000, 16)}
    make_run(tmp_path / "a", GOOD, dense_right=GOOD, config=config(), layers=layers, live_nnz=20)
    make_run(tmp_path / "b", GOOD, dense_right=GOOD, config=config(sparsity=0.99), live_nnz=100)
    blocks = [*unreachable_section(findings_of(tmp_path))]

    (block,) = blocks
    assert "of the 9,900 zeros of global 99 % one_shot (seed 0) 8,000" in block


def test_first_and_rank_are_compared_on_the_seeds_that_both_have(tmp_path):
    for name, mode, digest, seed, right in (
        ("rank0", "rank", "a", 0, POOR),
        ("rank1", "rank", "a", 1, GOOD),
        ("first0", "first", "b", 0, GOOD),
    ):
        settings = config(unreachable=mode, seed=seed)
        events = [event(0, 0.98, 0.9, digest=digest)]
        make_run(tmp_path / name, right, dense_right=GOOD, config=settings, events=events)
    (line,) = first_against_rank_lines(findings_of(tmp_path))

    assert ": 98 % +30.00 pp (" in line
