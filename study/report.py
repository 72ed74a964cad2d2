"""The report on this checkout's results: the general one, with the reference and the benchmarks."""

from pathlib import Path

from lightprune.rendering.number_format import counted
from lightprune.report.build import Additions, write_report
from lightprune.report.discovery import RunCollection, find_runs
from lightprune.report.findings import Findings
from study.compute import compute_section, training_time
from study.reference import DATASET_NAMES, published
from study.sparsity_sweep import SparsitySweep, read_benchmark
from study.speed_by_sparsity import speed_by_sparsity_section
from study.throughput import Throughput
from study.tuning_runs import split_tuning_runs, tuning_section


def findings_of(collection: RunCollection, throughput: Throughput | None = None) -> Findings:
    """The findings of a sweep, or of all committed results, beside the reference's figures."""
    reported, tuning = split_tuning_runs(collection)
    return Findings(reported, published(reported.runs), tuning, training_time(throughput))


def reference_report(
    folder: Path, dense_dir: Path, throughput_file: Path, speedup_file: Path
) -> tuple[Findings, str, Additions]:
    """What the report on the runs below a folder is made from, as `build_document` takes it.

    The two files are what `benchmarks/throughput.py` and `benchmarks/speedup.py` measured, if they
    are there.

    Raises:
        InputError: There is no finished run, or a benchmark's file is damaged.
    """
    collection = find_runs(folder, dense_dir, DATASET_NAMES)
    for name, reason in collection.left_out.items():
        print(f"left out: {name}: {reason}")
    throughput = read_benchmark(throughput_file, Throughput, "throughput.py")
    speedups = read_benchmark(speedup_file, SparsitySweep, "speedup.py")
    findings = findings_of(collection, throughput)
    about = f"{folder.resolve().name}: {counted(len(findings.collection.runs), 'run')}"
    if findings.tuning_runs:
        about += f", and {counted(len(findings.tuning_runs), 'tuning run')}"
    additions = Additions(
        {
            "All runs": {"Training compute": compute_section(findings, throughput)},
            "Speed": {"Speed by sparsity": speed_by_sparsity_section(speedups)},
            "Statistics": {"Tuning runs": tuning_section(findings)},
        }
    )
    return findings, about, additions


def write_reference_report(
    folder: Path, dense_dir: Path, throughput_file: Path, speedup_file: Path
) -> Path:
    """Writes that report into `folder/report`; returns the page."""
    findings, about, additions = reference_report(folder, dense_dir, throughput_file, speedup_file)
    return write_report(findings, about, folder / "report", additions)
