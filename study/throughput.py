"""How fast two training loops run on one machine: the reference's and this project's."""

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from lightprune.errors import InputError
from lightprune.report.groups import FULL_PRECISION


@dataclass(frozen=True)
class Loop:
    """A training loop at one batch size.

    Attributes:
        name: `reference`, or for this project's what `loop_name` says.
        batch_size: Of its batches.
        rates: Images a second, data loading included: a value a round.
    """

    name: str
    batch_size: int
    rates: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Images a second of the median round."""
        return median(self.rates)


@dataclass(frozen=True)
class Throughput:
    """What `benchmarks/throughput.py` measured, and its provenance."""

    command: str
    commit: str
    machine: str
    loops: tuple[Loop, ...]

    def loop(self, name: str, batch_size: int | None = None) -> Loop | None:
        """The loop of this name, and of this batch size if one is given."""
        alike = [at for at in self.loops if at.name == name]
        return next((at for at in alike if batch_size in (None, at.batch_size)), None)


def loop_name(precision: str) -> str:
    """The name of this project's loop at a `trainer.precision`."""
    return "lightprune" if precision == FULL_PRECISION else f"lightprune {precision}"


def read_throughput(file: Path) -> Throughput | None:
    """What the benchmark wrote; None if it wrote nothing.

    Raises:
        InputError: The file is not the benchmark's.
    """
    try:
        record = json.loads(file.read_text())
        loops = []
        for at in record["loops"]:
            rates = tuple(float(rate) for rate in at["images_per_second"])
            if not rates or min(rates) <= 0:
                raise ValueError(f"images_per_second of {at['name']} must be above 0")
            loops.append(Loop(at["name"], int(at["batch_size"]), rates))
        return Throughput(record["command"], record["commit"], record["machine"], tuple(loops))
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"{file}: is damaged ({reason}); allowed is what benchmarks/throughput.py --out writes"
        ) from error
