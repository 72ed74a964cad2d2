"""`python -m study status|report|publish`: the reproduction of the reference, from the checkout."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from lightprune.cli.app import new_app, run_app

app = new_app(__doc__)

DenseDir = Annotated[Path, typer.Option(help="The cache of dense networks.")]
ThroughputFile = Annotated[Path, typer.Option(help="What benchmarks/throughput.py measured.")]
SpeedupFile = Annotated[Path, typer.Option(help="What benchmarks/speedup.py measured.")]
DENSE_DIR = Path("outputs/dense")
THROUGHPUT = Path("results/throughput.json")
SPEEDUP = Path("results/speedup.json")


@app.command("status")
def print_status(
    sweep: Annotated[Path, typer.Argument(help="Folder of the sweep, there or not.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Those that all its jobs share.")
    ] = None,
    experiments: Annotated[str, typer.Option(help="Pattern of their names.")] = "*",
    seeds: str = "0",
) -> None:
    """Print what `make reproduce` still has to do, and how long that takes."""
    from study.status import remaining_work, requested_jobs, started_runs

    jobs = requested_jobs(experiments, seeds)
    started = started_runs(sweep, jobs, overrides or ())
    print(f"{sweep.name}: {remaining_work(jobs, started)}")


@app.command("report")
def reference_report(
    folder: Annotated[Path, typer.Argument(help="Where the run folders lie.")],
    dense_dir: DenseDir = DENSE_DIR,
    throughput: ThroughputFile = THROUGHPUT,
    speedup: SpeedupFile = SPEEDUP,
) -> None:
    """Write the report on finished runs beside the reference's figures and the benchmarks."""
    from study.report import write_reference_report

    print(write_reference_report(folder, dense_dir, throughput, speedup))


@app.command("publish")
def publish_results(
    sweeps: Annotated[list[Path] | None, typer.Argument(help="Sweeps to copy first.")] = None,
    results: Path = Path("results"),
    readme: Path = Path("README.md"),
    dense_dir: DenseDir = DENSE_DIR,
    throughput: ThroughputFile = THROUGHPUT,
    speedup: SpeedupFile = SPEEDUP,
) -> None:
    """Copy finished runs to results/, and renew its report and README's generated parts."""
    from lightprune.files import write_text
    from study.publish import publish
    from study.readme import FIGURE, generate
    from study.report import write_reference_report

    for sweep in sweeps or ():
        for folder in publish(sweep, dense_dir, results):
            print(f"published: {folder}")
    if any(results.rglob("run.json")):
        print(write_reference_report(results, results / "dense", throughput, speedup))
    generated = generate(results)
    if generated.figure:
        write_text(results / FIGURE, generated.figure)
    write_text(readme, generated.renew(readme.read_text("utf-8")))
    print(readme)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    return run_app(app, "python -m study", arguments)


if __name__ == "__main__":
    sys.exit(main())
