"""`lightprune report DIR`: what one does with finished runs, from the command line."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from lightprune.cli.options import bench_options, filters_options, sensitivity_options
from lightprune.errors import InputError
from lightprune.files import SaveError


class _Parser(ArgumentParser):
    """Refuses a wrong command line in one line, like every other wrong input."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; {self.prog} --help shows what is allowed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Carries out one command; returns the exit status."""
    try:
        asked = _parser().parse_args(arguments)
        command: Callable[..., None] = asked.command
        command(**{key: value for key, value in vars(asked).items() if key != "command"})
    except (InputError, SaveError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> ArgumentParser:
    parser = _Parser(prog="lightprune", description="What one does with finished runs.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    report = commands.add_parser("report", help="tables, figures and report.html on finished runs")
    report.add_argument("folder", type=Path, metavar="DIR", help="where the run folders lie")
    _sources(report)
    report.set_defaults(command=_report)
    results = commands.add_parser("results", help="README's table from the committed results")
    results.add_argument("sweeps", type=Path, nargs="*", metavar="SWEEP", help="to keep first")
    results.add_argument("--results", type=Path, default=Path("results"), metavar="DIR")
    results.add_argument("--readme", type=Path, default=Path("README.md"), metavar="FILE")
    _sources(results)
    results.set_defaults(command=_results)
    export = commands.add_parser("export", help="a run's network as small, portable files")
    export.add_argument("run", type=Path, metavar="RUN", help="the folder of a finished run")
    export.add_argument("--to", type=Path, metavar="DIR", help="default: RUN/export")
    export.add_argument("--values", default="fp32", metavar="fp32|fp16", help="default: fp32")
    export.add_argument(
        "--torch-prune", action="store_true", help="also as torch.nn.utils.prune saves it"
    )
    export.add_argument(
        "--constructor", metavar="NAME", help="what builds the network, if it is one's own"
    )
    export.set_defaults(command=_export)
    benched = commands.add_parser("bench", help="a network's speed, size and accuracy here")
    bench_options(benched)
    benched.set_defaults(command=_bench)
    scanned = commands.add_parser("sensitivity", help="what pruning each layer alone costs")
    sensitivity_options(scanned)
    scanned.set_defaults(command=_sensitivity)
    thinned = commands.add_parser("filters", help="a smaller dense network, to be fine-tuned")
    filters_options(thinned)
    thinned.set_defaults(command=_filters)
    remaining = commands.add_parser("remaining", help="what make reproduce still has to do")
    remaining.add_argument("sweep", type=Path, metavar="SWEEP", help="its folder, there or not")
    remaining.add_argument("--cells", default="*", metavar="PATTERN", help="of the experiments")
    remaining.add_argument("--seeds", default="0", metavar="0,1,2")
    remaining.add_argument("--data", default="cifar10", metavar="OPTION")
    remaining.set_defaults(command=_remaining)
    return parser


def _sources(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--dense-dir",
        type=Path,
        default=Path("outputs/dense"),
        metavar="DIR",
        help="the cache of dense networks, dense.cache_dir of the runs (default: outputs/dense)",
    )
    parser.add_argument(
        "--throughput",
        type=Path,
        default=Path("results/throughput.json"),
        metavar="FILE",
        help="what benchmarks/throughput.py measured (default: results/throughput.json)",
    )
    parser.add_argument(
        "--speedup",
        type=Path,
        default=Path("results/speedup.json"),
        metavar="FILE",
        help="what benchmarks/speedup.py measured (default: results/speedup.json)",
    )


def _report(folder: Path, dense_dir: Path, throughput: Path, speedup: Path) -> None:
    # Reading takes seconds to load, and neither --help nor a wrong option needs it.
    from lightprune.bench.sparsity_sweep import read_sparsity_sweep
    from lightprune.report.build import write_report
    from lightprune.report.discovery import find_runs
    from lightprune.report.findings import Findings
    from lightprune.study.throughput import read_throughput

    study = find_runs(folder, dense_dir)
    for gone in study.left_out:
        print(f"left out: {gone.folder}: {gone.reason}")
    findings = Findings.of(study, read_throughput(throughput), read_sparsity_sweep(speedup))
    title = f"{folder.resolve().name}: {len(findings.study.runs)} runs"
    title += f", and {len(findings.tried)} that were tried" if findings.tried else ""
    print(write_report(findings, title, folder / "report"))


def _results(
    sweeps: list[Path],
    results: Path,
    readme: Path,
    dense_dir: Path,
    throughput: Path,
    speedup: Path,
) -> None:
    from lightprune.files import write_text
    from lightprune.study.publish import holds_runs, publish, replace_block, results_block

    for sweep in sweeps:
        for place in publish(sweep, dense_dir, results):
            print(f"kept: {place}")
    if holds_runs(results):
        _report(results, results / "dense", throughput, speedup)
    write_text(readme, replace_block(readme.read_text(), results_block(results)))
    print(readme)


def _export(
    run: Path, to: Path | None, values: str, torch_prune: bool, constructor: str | None
) -> None:
    from lightprune.export.export import export
    from lightprune.models.from_spec import import_constructor

    build = import_constructor(constructor) if constructor else None
    for line in export(run, to, values=values, torch_prune=torch_prune, constructor=build):
        print(line)


def _bench(
    path: Path,
    threads: str | None,
    batches: str,
    rounds: int,
    engines: str | None,
    startup: bool,
    layers: bool,
    to: Path | None,
    data_root: Path | None,
    constructor: str | None,
) -> None:
    from rich import get_console

    from lightprune.bench.backends import select_backends
    from lightprune.bench.compare import BenchConfig, bench, parse_int_list
    from lightprune.bench.console_tables import bench_tables
    from lightprune.bench.figure import bench_figure
    from lightprune.bench.loaded_network import load_network
    from lightprune.bench.machine import available_cores
    from lightprune.bench.timing import TimingBudget
    from lightprune.errors import check_folder
    from lightprune.files import write_text
    from lightprune.models.from_spec import import_constructor
    from lightprune.rendering.figures import write_figure

    cores = available_cores()
    asked = BenchConfig(
        engines=select_backends(engines),
        threads=parse_int_list("--threads", threads) if threads else tuple(sorted({1, cores})),
        batches=parse_int_list("--batches", batches),
        effort=TimingBudget(rounds=rounds),
        startup=startup,
        layers=layers,
        data_root=data_root,
    )
    folder = to or (path if path.is_dir() else path.parent) / "bench"
    check_folder("--to", str(folder))
    subject = load_network(path, import_constructor(constructor) if constructor else None)
    result = bench(subject, asked, lambda doing: print(doing, file=sys.stderr, flush=True))
    for part in bench_tables(result):
        get_console().print(part, highlight=False, soft_wrap=isinstance(part, str))
    write_text(folder / "bench.json", result.to_json())
    write_figure(bench_figure(result), folder)
    print(folder / "bench.json")


def _sensitivity(
    run: Path,
    sparsities: str | None,
    images: int,
    batches: int,
    target: float | None,
    drop: float | None,
    network: str,
    dense_dir: Path | None,
    data_root: Path | None,
    constructor: str | None,
) -> None:
    from lightprune.errors import check_folder
    from lightprune.models.from_spec import import_constructor
    from lightprune.sensitivity.analysis import Question, read_sparsities, survey
    from lightprune.sensitivity.calibration_data import Sample
    from lightprune.sensitivity.loaded_run import Which, read_subject
    from lightprune.sensitivity.output import show, write

    question = Question(read_sparsities(sparsities) if sparsities else None, target, drop)
    sample = Sample(images, batches, data_root)
    which = Which(network, dense_dir, import_constructor(constructor) if constructor else None)
    folder = run / "sensitivity"
    check_folder("RUN", str(folder))
    subject = read_subject(run, which, sample)
    found = survey(subject, question, lambda said: print(said, file=sys.stderr, flush=True))
    write(found, folder)
    show(found, subject, folder)


def _filters(
    run: Path, sparsity: float, scope: str, norm: str, network: str, dense_dir: Path | None
) -> None:
    from lightprune.structured.channel_pruning import Removal, write_smaller

    for line in write_smaller(run, Removal(sparsity, scope, norm, network), dense_dir):
        print(line)


def _remaining(sweep: Path, cells: str, seeds: str, data: str) -> None:
    from lightprune.study.status import begun_in, jobs_of, outlook

    print(f"{sweep.name}: {outlook(jobs_of(cells, seeds), begun_in(sweep, data))}")


if __name__ == "__main__":
    sys.exit(main())
