"""How many threads calls use, by how long they took."""

from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightprune.sparse.runtime.thread_choice import ThreadChoice


def call(choice, seconds, times):
    """Makes calls that take so long with each number of threads; returns the numbers used."""
    used = []
    for spike, _ in zip(cycle([0, 0, 0.004]), range(times)):
        used.append(choice.threads)
        # Now and then something else runs on the core.
        choice.record(used[-1], seconds[used[-1]] + spike)
    return used


def last_choice(choice, seconds):
    """The number that calls use between two measurements."""
    used = next(u for _ in range(10) if len(u := set(call(choice, seconds, 30))) == 1)
    return used.pop()


SECONDS = st.fixed_dictionaries(dict.fromkeys((1, 2, 4, 6), st.floats(1e-5, 4e-3)))


@settings(max_examples=30)
@given(SECONDS, SECONDS)
def test_calls_use_the_fastest_number_of_threads_and_never_more_than_help(first, second):
    choice = ThreadChoice(6)

    for seconds in (first, second):
        tried = call(choice, seconds, 40_100)
        chosen = last_choice(choice, seconds)

        assert set(tried) == set(seconds)
        assert all(seconds[chosen] < seconds[n] for n in seconds if n < chosen)
        assert all(seconds[chosen] * 0.97 <= seconds[n] for n in seconds)


def test_another_thread_is_tried_again_soon():
    choice = ThreadChoice(2)
    call(choice, {1: 2.4e-4, 2: 2.9e-4}, 200)
    assert choice.threads == 1

    assert call(choice, {1: 2.4e-4, 2: 1.7e-4}, 300)[-1] == 2


@pytest.mark.parametrize("most", [2, 4, 16, 64])
def test_trials_of_fewer_threads_take_little_of_the_time(most):
    seconds = {threads: 1e-3 / threads for threads in range(1, most + 1)}

    choice = ThreadChoice(most)
    call(choice, seconds, 1000)

    used = call(choice, seconds, 100_000)

    assert sum(seconds[threads] for threads in used) < 1.03 * len(used) * seconds[most]


@pytest.mark.parametrize("most", [1, 2, 3, 8])
def test_the_first_calls_use_all_threads_and_none_uses_more(most):
    used = call(ThreadChoice(most), dict.fromkeys(range(1, most + 1), 0.0001), 200)

    assert used[0] == max(used) == most
    assert used[-1] == 1


def test_long_calls_use_all_threads_without_a_try_of_fewer():
    assert set(call(ThreadChoice(4), {1: 0.02, 2: 0.02, 4: 0.02}, 3000)) == {4}


def test_a_first_call_that_compiles_is_no_long_call():
    choice = ThreadChoice(2)
    choice.record(choice.threads, 3.0)

    assert set(call(choice, {1: 1e-4, 2: 2e-4}, 100)) == {1, 2}
    assert choice.threads == 1
