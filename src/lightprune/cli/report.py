"""`lightprune report DIR`."""

from pathlib import Path
from typing import Annotated

import typer

from lightprune.runs.find_folder import find_folder


def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Contains the run folders; or last, or how its name begins."
        ),
    ],
    dense_dir: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Cache of dense networks: dense.cache_dir of the runs."),
    ] = Path("outputs/dense"),
) -> None:
    """Write tables, figures and report.html on finished runs."""
    from lightprune.rendering.number_format import counted
    from lightprune.report.build import write_report
    from lightprune.report.discovery import find_runs
    from lightprune.report.findings import Findings

    folder = find_folder(folder)
    collection = find_runs(folder, dense_dir)
    for name, reason in collection.left_out.items():
        print(f"left out: {name}: {reason}")
    about = f"{folder.resolve().name}: {counted(len(collection.runs), 'run')}"
    print(write_report(Findings(collection), about, folder / "report"))
