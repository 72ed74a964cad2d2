"""The program that composes a config and runs it: `lightprune train`, or `python train.py`."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lightprune.experiment.schema import register_configs
from lightprune.garbage_collector import paused_collector
from lightprune.launch.error_reporting import report_errors, run_hydra_main
from lightprune.launch.overrides import CONFIGS, expand_home
from lightprune.launch.resolvers import register_folder_names
from lightprune.runs.command_line import COMMAND

# At import, since the jobs of a sweep may run in processes that import this module only.
register_configs()
register_folder_names()


@hydra.main(config_path=str(CONFIGS), config_name="train", version_base="1.3")
@report_errors
def _run_config(cfg: DictConfig) -> float | None:
    # Imports torch, without which a wrong command line is answered.
    with paused_collector():
        from lightprune.launch.launcher import launch

    hydra_settings = HydraConfig.get()
    return launch(cfg, Path(hydra_settings.runtime.output_dir), hydra_settings)


def main(arguments: Sequence[str] | None = None) -> None:
    """Composes a config and runs it; a failure ends the program with one line.

    `arguments` are what follows `lightprune train`; None takes the command line's.
    """
    words = [*map(expand_home, sys.argv[1:] if arguments is None else arguments)]
    program = sys.argv[:1] if arguments is None else ["lightprune", "train"]
    os.environ[COMMAND] = shlex.join([*program, *words])
    sys.argv[1:] = words  # Hydra reads it.
    if arguments is not None:
        # As `python -m` does: constructors and classes of the user's own are found.
        sys.path.append(os.getcwd())
    run_hydra_main(_run_config)
