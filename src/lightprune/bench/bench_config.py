"""What a bench measures, and about how long that takes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lightprune.bench.backends import Backend
from lightprune.bench.output_check import SECONDS
from lightprune.bench.timing import TimingBudget
from lightprune.cores import available_cores
from lightprune.errors import check_number

_LARGEST_BATCH = 4096


@dataclass(frozen=True)
class BenchConfig:
    """What to measure.

    Attributes:
        threads: How many each backend may use, one number after the other.
        batches: Images a call.
        startup: Whether to time the first call of the sparse runtime in new processes.
        profile: Whether to time every operation of the sparse runtime.
        data_root: The folder of the test images; None takes the one that the run names.

    Raises:
        InputError: A number is out of range on this machine.
    """

    backends: tuple[Backend, ...]
    threads: tuple[int, ...]
    batches: tuple[int, ...]
    budget: TimingBudget
    startup: bool = True
    profile: bool = False
    data_root: Path | None = None

    def forecast(self, call: float) -> Iterator[str]:
        """Yields a few lines: about how long timing takes, what else does, how to leave some out.

        `call` is the seconds that eager torch takes for one image.
        """
        names = [backend.name for backend in self.backends if not backend.missing()]
        timing = len(self.threads) * sum(
            self.budget.seconds(max(len(names), 1), call * batch) for batch in self.batches
        )
        yield (
            f"about {len(names) * timing:.0f} s of timing if all are as fast as eager torch, "
            f"{timing:.0f} s each: {', '.join(names)}; "
            "--backends NAME,NAME leaves the others out, --batches and --threads make it shorter"
        )
        startup = "; start-up in new processes (--no-startup leaves it out)" if self.startup else ""
        longest = ", which takes torch.compile longest" * ("compile" in names)
        yield (
            f"besides: every backend gets ready{longest}; at most {SECONDS:.0f} s a backend to "
            f"compare outputs{startup}"
        )

    def __post_init__(self) -> None:
        for threads in self.threads:
            check_number("--threads", threads, 1, available_cores(), whole=True)
        for batch in self.batches:
            check_number("--batches", batch, 1, _LARGEST_BATCH, whole=True)
        check_number("--rounds", self.budget.rounds, 1, 1000, whole=True)
