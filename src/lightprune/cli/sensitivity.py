"""`lightprune sensitivity RUN`."""

import sys
from typing import Annotated

import typer

from lightprune.cli import options
from lightprune.runs.find_folder import find_run


def sensitivity(
    run: options.Run,
    sparsities: Annotated[
        str | None, typer.Option(metavar="0.5,0.9", help="Default: by the target.")
    ] = None,
    images: Annotated[int, typer.Option(metavar="N", help="Images to measure accuracy on.")] = 1000,
    batches: Annotated[
        int, typer.Option(metavar="N", help="Batches to recalibrate batch norms on.")
    ] = 4,
    target: Annotated[
        float | None, typer.Option(metavar="S", help="Total sparsity. Default: the run's.")
    ] = None,
    drop: Annotated[
        float | None,
        typer.Option(metavar="PP", help="Accuracy that each layer may cost, in place of --target."),
    ] = None,
    network: options.WhichNetwork = "dense",
    dense_dir: options.DenseDir = None,
    data_root: options.DataRoot = None,
    constructor: options.ConstructorName = None,
) -> None:
    """Measure what pruning each layer alone costs."""
    from lightprune.errors import check_folder
    from lightprune.sensitivity.analysis import (
        AnalysisSettings,
        analyze_sensitivity,
        parse_sparsities,
    )
    from lightprune.sensitivity.calibration_data import SampleSize
    from lightprune.sensitivity.loaded_run import NetworkChoice, load_run
    from lightprune.sensitivity.output import show_analysis, write_result

    settings = AnalysisSettings(parse_sparsities(sparsities) if sparsities else None, target, drop)
    sample = SampleSize(images, batches, data_root)
    which = NetworkChoice(network, dense_dir, options.constructor_of(constructor))
    run = find_run(run)
    folder = run / "sensitivity"
    check_folder("RUN", str(folder))
    loaded = load_run(run, which, sample)
    result = analyze_sensitivity(
        loaded, settings, lambda line: print(line, file=sys.stderr, flush=True)
    )
    write_result(result, folder)
    show_analysis(result, loaded, folder)
