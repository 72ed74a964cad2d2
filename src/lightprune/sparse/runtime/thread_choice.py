"""How many threads a call uses: as many as made calls like it fastest, measured on the calls."""

from collections import defaultdict
from statistics import median

# So many calls in a row use the same number of threads: the first finds what another number left
# in the caches, and does not count.
_CALLS_PER_TURN = 6
# Turns of each number: at first, while caches and threads get ready, and when it is measured anew.
_FIRST_TURNS, _TURNS = 2, 1
# Whether a helper pays depends on what else the machine does, and on the cores that it is given,
# which may be others after every pause. Times the square of the numbers that are tried, since the
# fewest threads of many take longest.
_CALLS_BETWEEN_MEASUREMENTS = 60
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
            if calls >= _CALLS_BETWEEN_MEASUREMENTS * len(self._candidates) ** 2:
                self._start(_TURNS)
            return
        if calls % _CALLS_PER_TURN:
            self._seconds[threads].append(seconds)
        if calls + 1 == _CALLS_PER_TURN and min(self._seconds[threads], default=0) > _LONG_CALL:
            self._fastest = self._candidates[0]
            self._calls = self._measured_calls
        elif calls + 1 == self._measured_calls:
            self._fastest = self._choose()

    def _choose(self) -> int:
        chosen, best = self._candidates[0], float("inf")
        for threads in reversed(self._candidates):
            times = self._seconds[threads]
            if times and (seconds := median(times)) < (1 - _WORTHWHILE) * best:
                chosen, best = threads, seconds
        return chosen
