"""What was tried: runs that chose a recipe are told apart from its results."""

from lightprune.rendering.document import Table
from lightprune.report.discovery import find_runs
from lightprune.report.sections.run_provenance import provenance_section
from study.__main__ import main
from study.report import findings_of
from study.tuning_runs import tuning_section
from tests.report.run_folders import config, make_run

DENSE = [True] * 900 + [False] * 100
NEAR = [True] * 890 + [False] * 110


def tuned_config(peak, **options):
    made = config(**options)
    made["recipe"]["finetune"]["learning_rate"] = {"peak": peak}
    return made


def findings_below(folder):
    return findings_of(find_runs(folder, folder / "dense"))


def rows(folder):
    tables = [block for block in tuning_section(findings_below(folder)) if isinstance(block, Table)]
    return [dict(zip(t.columns, row, strict=True)) for t in tables for row in t.rows]


def test_a_trial_is_told_by_what_differs_from_the_run_of_its_kind(tmp_path):
    make_run(tmp_path / "fast" / "kept", DENSE, dense_right=DENSE, config=tuned_config(0.2))
    make_run(tmp_path / "tried-peak" / "run", NEAR, dense_right=DENSE, config=tuned_config(0.1))
    findings = findings_below(tmp_path)

    (row,) = rows(tmp_path)

    assert (row["seed"], row["beside"]) == ("0", "22 + 8 epochs")
    assert row["settings"] == "finetune.learning_rate.peak=0.1"
    assert (row["dense, validation"], row["validation"]) == ("95.00 %", "94.00 %")
    assert (row["epochs"], row["dense, test"], row["test"]) == ("22 + 8", "90.00 %", "89.00 %")
    assert row["to its dense (pp)"] == "−1.00"
    assert [run.folder for run in findings.collection.runs] == ["fast/kept"]
    assert [run.folder for group in findings.groups for run in group.runs] == ["fast/kept"]


def test_a_trial_of_a_kind_that_has_no_result_says_so(tmp_path):
    make_run(tmp_path / "fast" / "kept", DENSE, dense_right=DENSE, config=tuned_config(0.2))
    local = tuned_config(0.2, scope="local")
    make_run(tmp_path / "tried-local" / "run", NEAR, dense_right=DENSE, config=local)

    assert [(r["beside"], r["settings"]) for r in rows(tmp_path)] == [("nothing of its kind", "")]


def test_a_trial_stands_beside_the_nearest_budget_not_beside_the_likest_settings(tmp_path):
    make_run(tmp_path / "fast" / "kept", DENSE, dense_right=DENSE, config=tuned_config(0.2))
    long = tuned_config(0.1, epochs=(80, 20), restart="never")
    long["recipe"]["finetune"]["augmentation"] = {"cutmix": 0.5}
    long["trainer"] = {"precision": "bf16-mixed"}
    make_run(tmp_path / "full" / "kept", DENSE, dense_right=DENSE, config=long)
    trial = tuned_config(0.2, epochs=(80, 14))
    trial["recipe"]["finetune"]["augmentation"] = {"cutmix": 0.0}
    make_run(tmp_path / "tried-long" / "run", NEAR, dense_right=DENSE, config=trial)
    (row,) = rows(tmp_path)

    assert row["beside"] == "80 + 20 epochs, bf16-mixed"
    assert row["settings"].split("; ") == [
        "finetune.augmentation.cutmix=0.0",
        "finetune.learning_rate.peak=0.2",
        "finetune.restart=event",
        "trainer.precision=32-true",
    ]


def test_a_trial_that_only_took_longer_says_so(tmp_path):
    make_run(tmp_path / "fast" / "kept", DENSE, dense_right=DENSE, config=tuned_config(0.2))
    longer = tuned_config(0.2, epochs=(22, 16))
    make_run(tmp_path / "tried-longer" / "run", NEAR, dense_right=DENSE, config=longer)

    assert [row["settings"] for row in rows(tmp_path)] == ["as there, but for its length"]


def test_provenance_and_title_tell_of_trials_too(tmp_path):
    make_run(tmp_path / "fast" / "kept", DENSE, dense_right=DENSE, config=tuned_config(0.2))
    make_run(tmp_path / "tried-peak" / "run", NEAR, dense_right=DENSE, config=tuned_config(0.1))
    (table,) = (b for b in provenance_section(findings_below(tmp_path)) if isinstance(b, Table))

    assert [row[table.columns.index("runs")] for row in table.rows] == ["2"]
    assert main(["report", str(tmp_path)]) == 0
    title, _, about, *_ = (tmp_path / "report" / "report.md").read_text().splitlines()
    assert title.startswith("# 98 % of the weights pruned, 0.00 pp to its dense network")
    assert about.startswith(f"{tmp_path.name}: 1 run, and 1 tuning run. ")


def test_trials_alone_are_a_study_of_their_own(tmp_path):
    make_run(tmp_path / "tried-peak" / "run", NEAR, dense_right=DENSE, config=tuned_config(0.1))

    assert not rows(tmp_path)
    assert len(findings_below(tmp_path).groups) == 1
