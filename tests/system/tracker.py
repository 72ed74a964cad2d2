"""A logger that keeps one run open in the process until that is finished, as W&B's does."""

import json
from pathlib import Path

from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only


class Run:
    """What has been logged; a file once it is finished."""

    open = None  # The process's own.

    def __init__(self, folder, **about):
        self.folder, self.about, self.config, self.metrics = folder, about, {}, {}

    def finish(self, exit_code=0):
        content = {**self.about, "config": self.config, "metrics": self.metrics}
        self.folder.mkdir(parents=True, exist_ok=True)
        number = len(list(self.folder.glob("tracked-*.json")))
        (self.folder / f"tracked-{number}.json").write_text(
            json.dumps({**content, "exit_code": exit_code})
        )
        Run.open = None


class Tracker(Logger):
    """Reuses the open run, whoever made it."""

    def __init__(self, save_dir, project="", **about):
        super().__init__()
        self.folder, self.about = Path(save_dir), about
        self._run = None

    name = version = None
    kind = Run

    @property
    @rank_zero_experiment
    def experiment(self):
        if self._run is None:
            Run.open = self._run = Run.open or self.kind(self.folder, **self.about)
        return self._run

    @rank_zero_only
    def log_hyperparams(self, params):
        self.experiment.config.update(params)

    @rank_zero_only
    def log_metrics(self, metrics, step=None):
        for name, value in metrics.items():
            self.experiment.metrics.setdefault(name, []).append([step, float(value)])


class StubbornRun(Run):
    def finish(self, exit_code=0):
        raise ConnectionError("no network today")


class Stubborn(Tracker):
    """Has runs that cannot be closed."""

    kind = StubbornRun
