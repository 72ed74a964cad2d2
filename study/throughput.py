"""How fast two training loops run on one machine: the reference's and this project's."""

from statistics import median
from typing import Annotated

import msgspec

from lightprune.report.groups import FULL_PRECISION

_Rate = Annotated[float, msgspec.Meta(gt=0)]


class Loop(msgspec.Struct, frozen=True):
    """A training loop at one batch size.

    Attributes:
        name: `reference`, or for this project's what `loop_name` says.
        batch_size: Of its batches.
        rates: Images a second, data loading included: a value a round.
    """

    name: str
    batch_size: int
    rates: Annotated[tuple[_Rate, ...], msgspec.Meta(min_length=1)] = msgspec.field(
        name="images_per_second"
    )

    @property
    def rate(self) -> float:
        """Images a second of the median round."""
        return median(self.rates)


class Throughput(msgspec.Struct, frozen=True):
    """What `benchmarks/throughput.py` measured, and its provenance."""

    command: str
    commit: str
    machine: str
    loops: tuple[Loop, ...]

    def loop(self, name: str, batch_size: int | None = None) -> Loop | None:
        """The loop of this name, and of this batch size if one is given."""
        alike = [at for at in self.loops if at.name == name]
        return next((at for at in alike if batch_size in (None, at.batch_size)), None)


def loop_name(precision: str, taught: bool = False) -> str:
    """The name of this project's loop at a `trainer.precision`, with a teacher or without."""
    name = "lightprune" if precision == FULL_PRECISION else f"lightprune {precision}"
    return f"{name} with a teacher" if taught else name
