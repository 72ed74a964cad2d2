"""What a report says of dead weights, on counts made by hand."""

from lightprune.report.cells import cells_of
from lightprune.report.comparisons import between_runs
from lightprune.report.dead import Zeros, dead_weights
from lightprune.report.document import Table
from lightprune.report.gather import gather
from tests.report.made import config, event, make_run

GOOD = [True] * 180 + [False] * 20
POOR = [True] * 120 + [False] * 80


def section(folder):
    runs = gather(folder, folder / "dense").runs
    cells = cells_of(runs)
    return cells, dead_weights(cells, between_runs(cells))


def both(folder, *, digests, dead_kept):
    """Rank and first at 98 % of 10,000 weights, 2,000 of them alive."""
    for name, dead, digest, kept, right in (
        ("rank", "rank", digests[0], dead_kept, POOR),
        ("first", "first", digests[1], 0, GOOD),
    ):
        make_run(
            folder / name,
            right,
            dense_right=GOOD,
            asked=config(dead=dead),
            live_nnz=200 - kept,
            dead_nnz=kept,
            events=[event(0, 0.98, 0.9, digest=digest)],
        )
    return section(folder)


def test_the_zeros_that_were_never_alive_are_counted(tmp_path):
    cells, blocks = both(tmp_path, digests="ab", dead_kept=80)
    zeros = {cell.kind: Zeros.of(cell.first) for cell in cells}

    assert zeros["global one_shot, dead first"] == Zeros(dead=8000, dead_kept=0, total=9800)
    assert zeros["global one_shot"] == Zeros(dead=8000, dead_kept=80, total=9800)
    assert zeros["global one_shot"].never_alive == 7920
    assert blocks[0].words.startswith("8,000 of the 10,000 prunable weights (80.00%)")
    assert blocks[0].words.endswith("changes the class of 0 of 200 test images.")
    assert "7,920 of them (80.8%) were never alive" in blocks[1].words


def test_what_first_buys_is_said_with_the_test(tmp_path):
    _, blocks = both(tmp_path, digests="ab", dead_kept=80)
    row = blocks[-1].rows[0]

    assert row[:6] == ("98 %", "0", "80", "60.00 %", "90.00 %", "+30.00")
    assert row[6] == "seed 0: global 98 % one_shot, dead first is more accurate"


def test_equal_masks_are_said_to_be_equal(tmp_path):
    _, blocks = both(tmp_path, digests="aa", dead_kept=0)

    assert "At 98 % ranking alone removed every dead weight already" in blocks[-2].words


def test_a_network_without_dead_weights_is_said_to_have_none(tmp_path):
    layers = {"conv1.weight": (1000, 1000, 16)}
    make_run(tmp_path / "run", GOOD, dense_right=GOOD, asked=config(), layers=layers, live_nnz=20)
    _, blocks = section(tmp_path)

    assert [type(b) is Table for b in blocks] == [False]
    assert "Every prunable weight" in blocks[0].words
