"""README's quick start: four commands, and how long they take."""

from collections.abc import Iterator

import msgspec

from lightprune.rendering.number_format import duration
from study.throughput import Throughput, loop_name

# What `recipe=fast` trains on CIFAR-10, in both phases together.
_EPOCHS, _BATCH_SIZE, _IMAGES = 30, 256, 45_000
_WIDTH = 66


class QuickStart(msgspec.Struct, frozen=True):
    """What `benchmarks/quick_start.py` measured, and its provenance.

    Attributes:
        seconds: Of each command, by its name: `demo`, `bench`, `report`.
    """

    command: str
    commit: str
    machine: str
    seconds: dict[str, float]


def quick_start(measured: QuickStart | None, throughput: Throughput | None) -> str:
    """The commands, each with its time where that was measured, and on what."""
    seconds = dict(measured.seconds) if measured else {}
    loop = throughput.loop(loop_name("32-true"), _BATCH_SIZE) if throughput else None
    if loop:
        seconds["train"] = _EPOCHS * _IMAGES / loop.rate
    lines = "\n".join(_lines(seconds))
    where = [measured.machine] if measured else []
    if throughput:
        idle = throughput.machine.partition(", torch")[0]
        where.append(f"the training's by its throughput on {idle}, idle")
    note = f"\n\n<sub>Times: {'; '.join(where)}.</sub>" if where else ""
    return f"```\n{lines}\n```{note}"


def _lines(seconds: dict[str, float]) -> Iterator[str]:
    for name, command, what in (
        ("demo", "make demo", "all of it, on digits"),
        (
            "bench",
            "lightprune bench last --batches 1,64 --backends eager,onnx,sparse",
            "how fast it is",
        ),
        ("train", "python train.py pruner=global schedule=multi_step", "on CIFAR-10"),
        ("report", "lightprune report outputs/runs", "tables, figures"),
    ):
        time = f"{duration(seconds[name])}: " if name in seconds else ""
        yield f"{command:{_WIDTH}}  # {time}{what}"
