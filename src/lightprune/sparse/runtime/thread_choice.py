"""How many threads a call uses: as many as made calls like it fastest, measured on the calls."""

from collections import defaultdict
from statistics import median

# So many calls in a row use the same number of threads: the first finds what another number left
# in the caches, and does not count.
_CALLS_PER_TURN = 6
# Turns of each number: at first, while caches and threads get ready, and when it is measured anew.
_FIRST_TURNS, _TURNS = 2, 1
# Whether a helper pays depends on what else the machine does, and on the cores that it is given,
# which may be others after every pause. Between measurements lie so many calls for every one whose
# time a measurement loses by trying slower numbers, within these bounds.
_CALLS_PER_LOST_CALL = 50
_FEWEST_CALLS_BETWEEN, _MOST_CALLS_BETWEEN = 240, 40_000
# Seconds: calls that take longer gain by threads anyway, and would take long to measure.
_LONG_CALL = 5e-3
# The share of the time that more threads have to save.
_WORTHWHILE = 0.03


class ThreadChoice:
    """The number of threads for calls that do the same work; it never changes their outputs.

    The first calls try all that are allowed, then half as many and so on down to one; the following
    calls use what was fastest, until it is measured anew.
    """

    def __init__(self, most: int) -> None:
        self._candidates = sorted({most, *(1 << n for n in range(most.bit_length()))})[::-1]
        self._fastest = most
        self._start(_FIRST_TURNS)

    def _start(self, turns: int) -> None:
        self._calls = 0
        self._measured_calls = _CALLS_PER_TURN * turns * len(self._candidates)
        self._next_start = self._measured_calls + _FEWEST_CALLS_BETWEEN
        self._seconds: defaultdict[int, list[float]] = defaultdict(list)

    @property
    def threads(self) -> int:
        """How many threads the next call is to use."""
        if self._calls >= self._measured_calls:
            return self._fastest
        return self._candidates[self._calls // _CALLS_PER_TURN % len(self._candidates)]

    def record(self, threads: int, seconds: float) -> None:
        """Takes account of how long a call took; several threads may do so at a time."""
        calls = self._calls
        self._calls = calls + 1
        if calls >= self._measured_calls:
            if calls >= self._next_start:
                self._start(_TURNS)
            return
        if calls % _CALLS_PER_TURN:
            self._seconds[threads].append(seconds)
        if calls + 1 == _CALLS_PER_TURN and min(self._seconds[threads], default=0) > _LONG_CALL:
            self._fastest = self._candidates[0]
            self._calls = self._measured_calls
        elif calls + 1 == self._measured_calls:
            self._choose()

    def _choose(self) -> None:
        seconds = {n: median(times) for n, times in self._seconds.items() if times}
        best = float("inf")
        for threads in sorted(seconds):
            if seconds[threads] < (1 - _WORTHWHILE) * best:
                self._fastest, best = threads, seconds[threads]
        lost = sum(_CALLS_PER_TURN * (each / best - 1) for each in seconds.values() if each > best)
        between = max(int(_CALLS_PER_LOST_CALL * lost), _FEWEST_CALLS_BETWEEN)
        self._next_start = self._measured_calls + min(between, _MOST_CALLS_BETWEEN)
