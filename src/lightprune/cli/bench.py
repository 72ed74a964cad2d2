"""`lightprune bench PATH`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from lightprune.cli.options import (
    ConstructorName,
    DataRoot,
    InputShape,
    Network,
    Prefix,
    builder_of_file,
    parse_int_list,
)
from lightprune.runs.find_folder import find_run


def bench(
    path: Network,
    threads: Annotated[
        str | None, typer.Option(metavar="1,2", help="Default: 1 and all cores.")
    ] = None,
    batches: Annotated[
        str, typer.Option(metavar="1,8,64,256", help="Images a call.")
    ] = "1,8,64,256",
    rounds: Annotated[int, typer.Option(metavar="N", help="Turns that each backend gets.")] = 30,
    backends: Annotated[
        str | None, typer.Option(metavar="NAME,NAME", help="Default: all that are installed.")
    ] = None,
    startup: Annotated[
        bool, typer.Option("--startup/--no-startup", help="Time loading and the first call.")
    ] = True,
    profile: Annotated[
        bool, typer.Option("--profile", help="Time every operation of the sparse runtime.")
    ] = False,
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to write. Default: PATH/bench.")
    ] = None,
    data_root: DataRoot = None,
    constructor: ConstructorName = None,
    input: InputShape = None,
    prefix: Prefix = None,
) -> None:
    """Measure a network's speed, size and accuracy on this machine."""
    from rich import get_console

    from lightprune.bench.backends import select_backends
    from lightprune.bench.bench_config import BenchConfig
    from lightprune.bench.compare import compare_backends
    from lightprune.bench.console_tables import bench_tables
    from lightprune.bench.speedup_figure import bench_figure
    from lightprune.bench.timing import TimingBudget
    from lightprune.cores import available_cores
    from lightprune.errors import check_folder
    from lightprune.export.loaded_network import load_network
    from lightprune.files import write_text

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
    path = find_run(path)
    folder = to or (path if path.is_dir() else path.parent) / "bench"
    check_folder("--to", str(folder))
    loaded = load_network(path, *builder_of_file(constructor, input), prefix)
    result = compare_backends(loaded, config, lambda step: print(step, file=sys.stderr, flush=True))
    for part in bench_tables(result):
        get_console().print(part, highlight=False, soft_wrap=isinstance(part, str))
    write_text(folder / "bench.json", result.to_json())
    bench_figure(result).write(folder)
    print(folder / "bench.json")
