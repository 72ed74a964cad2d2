"""`lightprune report DIR`: what one does with finished runs, from the command line."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from lightprune.cli.options import bench_options, filters_options, sensitivity_options
from lightprune.errors import InputError
from lightprune.files import SaveError

_MOVED = {"remaining": "python -m study status", "results": "python -m study publish"}


class _Parser(ArgumentParser):
    """Refuses a wrong command line in one line, like every other wrong input."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; {self.prog} --help shows what is allowed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Carries out one command; returns the exit status."""
    try:
        arguments = sys.argv[1:] if arguments is None else arguments
        if arguments and arguments[0] in _MOVED:
            raise InputError(
                f"{arguments[0]}: no command of lightprune; `{_MOVED[arguments[0]]}`, in a "
                "checkout, does this"
            )
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
    report.add_argument(
        "--dense-dir",
        type=Path,
        default=Path("outputs/dense"),
        metavar="DIR",
        help="the cache of dense networks, dense.cache_dir of the runs (default: outputs/dense)",
    )
    report.set_defaults(command=_report)
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
    return parser


def _report(folder: Path, dense_dir: Path) -> None:
    # Reading takes seconds to load, and neither --help nor a wrong option needs it.
    from lightprune.report.build import write_report
    from lightprune.report.discovery import find_runs
    from lightprune.report.findings import Findings

    collection = find_runs(folder, dense_dir)
    for skipped in collection.left_out:
        print(f"left out: {skipped.folder}: {skipped.reason}")
    title = f"{folder.resolve().name}: {len(collection.runs)} runs"
    print(write_report(Findings.of(collection), title, folder / "report"))


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
    backends: str | None,
    startup: bool,
    profile: bool,
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
    config = BenchConfig(
        backends=select_backends(backends),
        threads=parse_int_list("--threads", threads) if threads else tuple(sorted({1, cores})),
        batches=parse_int_list("--batches", batches),
        budget=TimingBudget(rounds=rounds),
        startup=startup,
        profile=profile,
        data_root=data_root,
    )
    folder = to or (path if path.is_dir() else path.parent) / "bench"
    check_folder("--to", str(folder))
    loaded = load_network(path, import_constructor(constructor) if constructor else None)
    result = bench(loaded, config, lambda step: print(step, file=sys.stderr, flush=True))
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


if __name__ == "__main__":
    sys.exit(main())
