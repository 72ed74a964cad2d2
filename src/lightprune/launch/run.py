"""`run`: the experiment from Python, as from a notebook."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from lightprune.errors import InputError
from lightprune.experiment.schema import register_configs
from lightprune.export.load import load
from lightprune.launch.choose_folder import without_hydra
from lightprune.launch.error_messages import describe_error
from lightprune.launch.launcher import launch
from lightprune.launch.overrides import CONFIGS
from lightprune.launch.resolvers import register_folder_names
from lightprune.runs.command_line import COMMAND
from lightprune.runs.folder import RunFolder
from lightprune.runs.record import RunRecord


@dataclass(frozen=True)
class RunResult:
    """A finished run: the folder with its files, and the content of its run.json."""

    folder: Path
    record: RunRecord

    def network(self) -> nn.Module:
        """The pruned network, in evaluation mode."""
        return load(self.folder)


def run(*overrides: str) -> RunResult | None:
    """Runs an experiment as `lightprune train` does, continues it, or reads its finished result.

        quick = ("model=resnet20", "data=digits", "recipe=smoke", "debug=fast")
        result = lightprune.run(*quick, "name=example")
        print(result.record.test.accuracy, result.record.cost.sparsity)
        network = result.network()

    Args:
        overrides: `GROUP=OPTION` and `KEY=VALUE`, those of one run.

    Returns:
        The run, in the folder below the working directory that the command would take; None for
        `plan_only=true`, which prints the plan.

    Raises:
        InputError: An input is wrong.
        Interrupted: A signal arrived; the same call continues.
    """
    cfg = compose_config(overrides)
    hydra = cfg.hydra
    with open_dict(hydra):
        hydra.runtime.cwd = str(Path.cwd())
    folder = Path(hydra.run.dir)
    before = os.environ.get(COMMAND)
    os.environ[COMMAND] = shlex.join(["lightprune", "train", *overrides])
    try:
        launch(without_hydra(cfg), folder, hydra)
    finally:
        os.environ.pop(COMMAND)
        if before is not None:
            os.environ[COMMAND] = before
    record = None if cfg.plan_only else RunFolder(folder).record()
    return None if record is None else RunResult(folder, record)


def compose_config(overrides: Sequence[str]) -> DictConfig:
    """The config that a command composes, with Hydra's own settings.

    Raises:
        InputError: An override is wrong.
    """
    register_configs()
    register_folder_names()
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            return compose("train", list(overrides), return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(describe_error(error)) from error
