"""MLflow's logger for runs that may be resumed: they go on in the run that has the same id."""

from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import MLFlowLogger

_SQLITE = "sqlite:///"
# MLflow makes up the ids of runs: the run's own is a tag.
_ID = "lightprune_id"


class ResumableMLFlowLogger(MLFlowLogger):
    """Logs to the run tagged with `id`, or to a new one; `group` is another tag."""

    def __init__(
        self, *, id: str, tracking_uri: str, group: str | None = None, **settings: Any
    ) -> None:
        if tracking_uri.startswith(_SQLITE):
            Path(tracking_uri.removeprefix(_SQLITE)).parent.mkdir(parents=True, exist_ok=True)
        tags = {_ID: id, "group": group} if group else {_ID: id}
        super().__init__(tracking_uri=tracking_uri, tags=tags, **settings)
        self._tag = id

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """MLflow's client, once there is a run to log to."""
        if self._run_id is None:
            self._run_id = self._earlier_run()
        return super().experiment

    def _earlier_run(self) -> str | None:
        client = self._mlflow_client
        experiment = client.get_experiment_by_name(self._experiment_name)
        if experiment is None:
            return None
        runs = client.search_runs([experiment.experiment_id], f"tags.`{_ID}` = '{self._tag}'")
        for run in runs[:1]:
            client.update_run(run.info.run_id, status="RUNNING")
            return str(run.info.run_id)
        return None
