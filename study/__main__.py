"""`python -m study status|report|publish`: the reproduction of the reference, from the checkout."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from lightprune.errors import InputError
from lightprune.files import SaveError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)

DenseDir = Annotated[Path, typer.Option(help="The cache of dense networks.")]
ThroughputFile = Annotated[Path, typer.Option(help="What benchmarks/throughput.py measured.")]
SpeedupFile = Annotated[Path, typer.Option(help="What benchmarks/speedup.py measured.")]
DENSE_DIR = Path("outputs/dense")
THROUGHPUT = Path("results/throughput.json")
SPEEDUP = Path("results/speedup.json")


@app.command("status")
def print_status(
    sweep: Annotated[Path, typer.Argument(help="Folder of the sweep, there or not.")],
    experiments: Annotated[str, typer.Option(help="Pattern of their names.")] = "*",
    seeds: str = "0",
    data: Annotated[str, typer.Option(help="The option of the config group data.")] = "cifar10",
) -> None:
    """Print what `make reproduce` still has to do, and how long that takes."""
    from study.status import begun_in, jobs_of, outlook

    print(f"{sweep.name}: {outlook(jobs_of(experiments, seeds), begun_in(sweep, data))}")


@app.command("report")
def write_report(
    folder: Annotated[Path, typer.Argument(help="Where the run folders lie.")],
    dense_dir: DenseDir = DENSE_DIR,
    throughput: ThroughputFile = THROUGHPUT,
    speedup: SpeedupFile = SPEEDUP,
) -> None:
    """Write the report on finished runs beside the reference's figures and the benchmarks."""
    from study.report import report

    print(report(folder, dense_dir, throughput, speedup))


@app.command("publish")
def publish_results(
    sweeps: Annotated[list[Path] | None, typer.Argument(help="Sweeps to copy first.")] = None,
    results: Path = Path("results"),
    readme: Path = Path("README.md"),
    dense_dir: DenseDir = DENSE_DIR,
    throughput: ThroughputFile = THROUGHPUT,
    speedup: SpeedupFile = SPEEDUP,
) -> None:
    """Copy finished runs to results/, and renew its report and README's table."""
    from lightprune.files import write_text
    from study.publish import holds_runs, publish, replace_block, results_block
    from study.report import report

    for sweep in sweeps or ():
        for folder in publish(sweep, dense_dir, results):
            print(f"published: {folder}")
    if holds_runs(results):
        print(report(results, results / "dense", throughput, speedup))
    write_text(readme, replace_block(readme.read_text(), results_block(results)))
    print(readme)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Every error is one line."""
    try:
        app(arguments, prog_name="python -m study", standalone_mode=False)
    except (InputError, SaveError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except TyperException as error:
        print(f"error: {error}; python -m study --help shows what is allowed", file=sys.stderr)
        return 1
    except (typer.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
