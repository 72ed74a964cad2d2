"""Times calls in turn, so that a machine's drift hits all that are compared alike."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from timeit import repeat

import numpy as np

# A backend's threads spin for a while after a call, in the way of the next one's.
_SETTLE = 0.06
# Seconds of untimed calls in a turn, none if one takes longer, and the most calls of either kind:
# every backend gets the same time to warm up, and to show what it can do.
_WARM_UP = 0.015
_MOST_CALLS = 1000


@dataclass(frozen=True)
class TimingBudget:
    """How long to measure.

    Attributes:
        rounds: The most turns each call gets. A core that is shared with others runs at one speed
            for some seconds and then at another: many short turns meet both.
        seconds_per_turn: Of timed calls; one call at least.
        total_seconds: Of all calls together; one turn each at least.
    """

    rounds: int = 30
    seconds_per_turn: float = 0.05
    total_seconds: float = 30.0

    def seconds(self, backends: int, call: float) -> float:
        """About how long one of some backends takes, with so many seconds a call."""
        turns = self.rounds * (_SETTLE + _WARM_UP + max(self.seconds_per_turn, call))
        # Once to get ready, twice to see how long it takes, and one turn at least.
        return max(4 * call, min(turns, self.total_seconds / backends))


@dataclass(frozen=True)
class Timing:
    """How long one backend takes for a batch: median and 90 % quantile, seconds a call."""

    backend: str
    threads: int
    batch: int
    calls: int
    median: float
    p90: float

    @classmethod
    def of(cls, backend: str, threads: int, batch: int, seconds: list[float]) -> "Timing":
        """Sums up the seconds of timed calls."""
        median, p90 = (float(np.quantile(seconds, q)) for q in (0.5, 0.9))
        return cls(backend, threads, batch, len(seconds), median, p90)


def take_turns(
    calls: Mapping[str, Callable[[], object]], budget: TimingBudget
) -> dict[str, list[float]]:
    """Times every call in turn, round after round; returns the seconds of each by its name."""
    names, share = list(calls), budget.total_seconds / len(calls)
    estimates = {name: _estimate(call, share) for name, call in calls.items()}
    timed: dict[str, list[float]] = {name: [] for name in names}
    spent = dict.fromkeys(names, 0.0)
    for number in range(budget.rounds):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            begin = time.perf_counter()
            if timed[name] and spent[name] + estimates[name] > share:
                continue
            time.sleep(_SETTLE)
            timed[name] += _turn(calls[name], estimates[name], budget.seconds_per_turn)
            spent[name] += time.perf_counter() - begin
    return timed


def _estimate(call: Callable[[], object], share: float) -> float:
    # The first call allocates, so that the second tells more.
    (first,) = _seconds(call, 1)
    return first if first > share / 4 else min(first, *_seconds(call, 1))


def _turn(call: Callable[[], object], estimate: float, seconds: float) -> list[float]:
    for _ in range(min(int(_WARM_UP / estimate), _MOST_CALLS)):
        call()
    return _seconds(call, max(1, min(int(seconds / estimate), _MOST_CALLS)))


def _seconds(call: Callable[[], object], calls: int) -> list[float]:
    """Of each call; Python looks for no garbage meanwhile."""
    return repeat(call, timer=time.perf_counter, repeat=calls, number=1)
