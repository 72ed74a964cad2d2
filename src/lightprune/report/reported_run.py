"""A finished run with what was measured of its speed."""

from dataclasses import dataclass

from lightprune.bench.result import BenchResult
from lightprune.runs.finished_run import FinishedRun


@dataclass(frozen=True)
class ReportedRun(FinishedRun):
    """A run of a report.

    Attributes:
        bench: How fast its network is; None if not measured.
        dataset_name: Of its images; empty for the name of their source class.
    """

    bench: BenchResult | None = None
    dataset_name: str = ""

    @property
    def dataset(self) -> str:
        """The images in words, with the first digits of their fingerprint; if all trained, so."""
        words = f"{self.dataset_name or self.data.source} ({self.data.fingerprint[:8]})"
        return words if self.data.validation_images else f"{words}, no validation"

    @property
    def network(self) -> str:
        """The name of what builds it: `resnet18`."""
        constructor = self.config["model"].get("constructor") or {}
        return str(constructor.get("_target_", "")).rpartition(".")[2]

    @property
    def finetune_epochs(self) -> int:
        """The epochs of fine-tuning; of a record that does not tell them, the budget."""
        return self.epochs_trained or int(self.config["recipe"]["finetune"]["epochs"])

    @property
    def epochs(self) -> str:
        """Of dense training and fine-tuning: `80 + 20`; of a teacher before: `80 + 80 + 20`."""
        return f"{self.dense_epochs} + {self.finetune_epochs}"

    @property
    def dense_epochs(self) -> str:
        """Of dense training: `80`; of a teacher before: `80 + 80`."""
        teacher, epochs = self.dense.teacher_epochs, str(self.dense.epochs)
        return f"{teacher} + {epochs}" if teacher else epochs

    @property
    def target_sparsity(self) -> float:
        """The sparsity that the last event aimed at; 0 for a control."""
        return self.events[-1].target if self.events else 0.0
