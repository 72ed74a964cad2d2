"""How long the training of a run takes, and by what that is known."""

from collections.abc import Callable
from dataclasses import dataclass

from lightprune.report.reported_run import ReportedRun


@dataclass(frozen=True)
class TrainingTime:
    """What the training of a run costs, dense training and fine-tuning together.

    Attributes:
        seconds: None where it is not known.
        source: Where the seconds come from, in words for a caption.
    """

    seconds: Callable[[ReportedRun], float | None]
    source: str

    def minutes_label(self, run: ReportedRun) -> str:
        """`0.7`, `25`; empty where it is not known."""
        seconds = self.seconds(run)
        if seconds is None:
            return ""
        minutes = seconds / 60
        return f"{minutes:.0f}" if minutes >= 10 else f"{minutes:.1f}"


MEASURED = TrainingTime(
    lambda run: run.seconds.dense + run.seconds.finetune,
    "as the run measured it, beside whatever else the machine did",
)
