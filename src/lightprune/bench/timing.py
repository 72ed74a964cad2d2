"""Calls timed in turn, so that what drifts on a machine hits all that are compared alike."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

# An engine's threads go on looking for work a while after a call, in the way of the next one's.
_SETTLE = 0.06
_WARM_UP = 0.015
# So many of the shortest: every engine gets the same time to warm up, and to show what it can do.
_MOST_CALLS = 1000


@dataclass(frozen=True)
class TimingBudget:
    """How long is measured.

    Attributes:
        rounds: Turns that each one gets, at most. A core that is shared with others runs at one
            speed for some seconds and then at another: many short turns meet both.
        turn: Seconds of timed calls in a turn; one call at least.
        cell: Seconds for all together; one turn each at least.
    """

    rounds: int = 30
    turn: float = 0.05
    cell: float = 12.0


@dataclass(frozen=True)
class Timing:
    """How long one engine takes for a batch.

    Attributes:
        engine: Its name.
        threads: How many it may use.
        batch: Images a call.
        calls: How many were timed.
        median: Of them, in seconds.
        p90: 90 % of them took no longer, in seconds.
    """

    engine: str
    threads: int
    batch: int
    calls: int
    median: float
    p90: float

    @classmethod
    def of(cls, engine: str, threads: int, batch: int, seconds: list[float]) -> "Timing":
        """Sums up timed calls."""
        median, p90 = (float(np.quantile(seconds, q)) for q in (0.5, 0.9))
        return cls(engine, threads, batch, len(seconds), median, p90)


def take_turns(
    calls: Mapping[str, Callable[[], object]], effort: TimingBudget
) -> dict[str, list[float]]:
    """Times every call in turn, round after round.

    Returns:
        By name, the seconds of every timed call.
    """
    names, share = list(calls), effort.cell / len(calls)
    with _no_collection():
        takes = {name: _takes(call, share) for name, call in calls.items()}
        found: dict[str, list[float]] = {name: [] for name in names}
        spent = dict.fromkeys(names, 0.0)
        for number in range(effort.rounds):
            first = number % len(names)
            for name in (*names[first:], *names[:first]):
                begin = time.perf_counter()
                if found[name] and spent[name] + takes[name] > share:
                    continue
                time.sleep(_SETTLE)
                found[name] += _turn(calls[name], takes[name], effort.turn)
                spent[name] += time.perf_counter() - begin
    return found


def _takes(call: Callable[[], object], share: float) -> float:
    """About how long a call takes; the first one allocates, so that the second tells more."""
    first = _seconds(call)
    return first if first > share / 4 else min(first, _seconds(call))


def _turn(call: Callable[[], object], takes: float, seconds: float) -> list[float]:
    for _ in range(min(int(_WARM_UP / takes), _MOST_CALLS)):
        call()
    return [_seconds(call) for _ in range(max(1, min(int(seconds / takes), _MOST_CALLS)))]


def _seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keeps Python from looking for garbage in the middle of a timed call."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
