"""What was tried: runs that chose a recipe are told apart from its results."""

from lightprune.report.document import Table
from lightprune.report.sections.tried import tried
from tests.report.made import config, findings, make_run

DENSE = [True] * 900 + [False] * 100
NEAR = [True] * 890 + [False] * 110


def asked(peak, **options):
    made = config(**options)
    made["recipe"]["finetune"]["learning_rate"] = {"peak": peak}
    return made


def rows(folder):
    tables = [block for block in tried(findings(folder)).blocks if isinstance(block, Table)]
    return [dict(zip(t.columns, row, strict=True)) for t in tables for row in t.rows]


def test_a_trial_is_told_by_what_differs_from_the_run_of_its_kind(tmp_path):
    make_run(tmp_path / "fast" / "kept", DENSE, dense_right=DENSE, asked=asked(0.2))
    make_run(tmp_path / "tried-peak" / "run", NEAR, dense_right=DENSE, asked=asked(0.1))
    found = findings(tmp_path)

    (row,) = rows(tmp_path)

    assert row["settings"] == "finetune.learning_rate.peak=0.1"
    assert (row["epochs"], row["dense, test"], row["test"]) == ("22 + 8", "90.00 %", "89.00 %")
    assert row["to its dense (points)"] == "−1.00"
    assert [run.folder for run in found.study.runs] == ["fast/kept"]
    assert [run.folder for cell in found.cells for run in cell.runs] == ["fast/kept"]


def test_a_trial_of_a_kind_that_has_no_result_says_so(tmp_path):
    make_run(tmp_path / "fast" / "kept", DENSE, dense_right=DENSE, asked=asked(0.2))
    local = asked(0.2, scope="local")
    make_run(tmp_path / "tried-local" / "run", NEAR, dense_right=DENSE, asked=local)

    assert [row["settings"] for row in rows(tmp_path)] == ["nothing of its kind in the results"]


def test_trials_alone_are_a_study_of_their_own(tmp_path):
    make_run(tmp_path / "tried-peak" / "run", NEAR, dense_right=DENSE, asked=asked(0.1))

    assert not rows(tmp_path)
    assert len(findings(tmp_path).cells) == 1
