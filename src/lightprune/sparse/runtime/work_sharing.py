"""One pass through the network, shared out among the threads that come to help.

Two ways: each thread takes whole tiles of images (`TILES` > 0), or all work on one tile, operation
by operation, each taking chunks of channels; an operation of one chunk stays with whoever finished
the one before it. Nobody waits for a thread that has not come: a chunk goes to whoever asks first,
so a late or busy thread costs speed and never an answer.

What threads write for one another to read takes long to arrive, longest between cores that share no
cache. So all they have to say is in one number, the ticket, and told in one step: that chunks are
finished, and that the next are taken.
"""

from lightprune.sparse.isa.instruction import BOUNDS, CHUNKS
from lightprune.sparse.jit.atomics import (
    atomic_load,
    atomic_store,
    call_interpreter,
    compare_exchange,
    cpu_pause,
    fetch_add,
    yield_thread,
)
from lightprune.sparse.jit.compile import jit_cached
from lightprune.sparse.jit.pointers import int_array

_CACHE_LINE = 8

# The columns of a job, all int64; addresses and sizes are bytes. The ticket has a cache line of
# its own: what never changes would leave the core with it whenever another one writes to it.
TICKET = 0
OPERATIONS, HEADS, ARENA, ARENA_SIZE, UNIT, THREADS = range(_CACHE_LINE, _CACHE_LINE + 6)
SOURCE, SOURCE_STEP, TARGET, TARGET_STEP, IMAGES, TILES, STAMPS, CODE = range(THREADS + 1, 22)
COLUMNS = 22

# When threads share tiles, the ticket is the number of the next one. When they share operations,
# it holds from its lowest bits on: chunks taken or asked for in vain, chunks finished, and the
# operation's number. A thread asks in vain once an operation, so that the bits suffice for tens of
# thousands of threads.
_COUNT_BITS = 16
_COUNT = (1 << _COUNT_BITS) - 1
_SPINS_BEFORE_YIELD = 2000


@jit_cached
def run_job(job, thread):
    """Works on the job at the address until nothing of it is left to begin."""
    columns = int_array(job)
    if columns[TILES] > 0:
        _run_tiles(job, columns, columns[ARENA] + thread * columns[ARENA_SIZE])
    else:
        # The first arena is everybody's. What a thread sorts must not lie where another has been:
        # its core would ask for every cache line before it writes to it.
        own = columns[ARENA] + (1 + thread) * columns[ARENA_SIZE]
        _clear_packed_flags(columns, own)
        _run_shared(job, columns, own)


@jit_cached
def _clear_packed_flags(columns, own):
    stamps = int_array(own)
    for number in range(columns[STAMPS]):
        stamps[number] = 0


@jit_cached
def _run_tiles(job, columns, own):
    heads, unit = int_array(columns[HEADS]), columns[UNIT]
    while True:
        tile = fetch_add(job, 1)
        if tile >= columns[TILES]:
            return
        _clear_packed_flags(columns, own)
        for number in range(columns[OPERATIONS]):
            op = int_array(heads[number])
            call_interpreter(
                columns[CODE],
                heads[number],
                0,
                int_array(op[BOUNDS])[op[CHUNKS]],
                own,
                own,
                unit,
                columns[SOURCE] + tile * columns[SOURCE_STEP],
                columns[TARGET] + tile * columns[TARGET_STEP],
                min(unit, columns[IMAGES] - tile * unit),
            )


@jit_cached
def _unpack_ticket(ticket):
    """The operation's number, its finished chunks, and those that are taken."""
    return ticket >> 2 * _COUNT_BITS, ticket >> _COUNT_BITS & _COUNT, ticket & _COUNT


@jit_cached
def _run_shared(job, columns, own):
    heads, spins = int_array(columns[HEADS]), 0
    while True:
        number, _, taken = _unpack_ticket(atomic_load(job))
        if number >= columns[OPERATIONS]:
            return
        chunks = int_array(heads[number])[CHUNKS]
        if taken < chunks:
            _run_chunks(job, columns, own, _chunks_to_take(chunks, columns[THREADS], taken))
        else:
            cpu_pause()
            spins += 1
            if spins % _SPINS_BEFORE_YIELD == 0:
                yield_thread()


@jit_cached
def _chunks_to_take(chunks, threads, taken):
    """How many chunks a thread takes that comes when so many are taken.

    Four fifths are for the threads in equal shares. The others go one by one to whoever is free:
    threads are not equally fast, and who comes late must not make the others wait for a large part.
    """
    equal = 4 * chunks // (5 * threads)
    return equal if equal > 0 and taken + equal <= equal * threads else 1


@jit_cached
def _run_chunks(job, columns, own, share):
    """Takes chunks and goes on with what is left, or with what follows, until others have that."""
    heads, threads = int_array(columns[HEADS]), columns[THREADS]
    number, _, begin = _unpack_ticket(fetch_add(job, share))
    while number < columns[OPERATIONS]:
        chunks = int_array(heads[number])[CHUNKS]
        end = min(begin + share, chunks)
        if begin >= end:
            return
        _call_chunks(columns, own, heads[number], begin, end)
        share = 1
        _, finished, taken = _unpack_ticket(fetch_add(job, ((end - begin) << _COUNT_BITS) + share))
        if finished + end - begin < chunks:
            begin = taken
            continue
        number, begin = _run_unshared(columns, own, number + 1), 0
        if number < columns[OPERATIONS]:
            share = _chunks_to_take(int_array(heads[number])[CHUNKS], threads, 0)
        atomic_store(job, (number << 2 * _COUNT_BITS) + share)


@jit_cached
def _run_unshared(columns, own, number):
    """Carries out operations of a single chunk; returns the number of the first that has more.

    Who finished the operation before them has most of what they read at hand.
    """
    heads = int_array(columns[HEADS])
    while number < columns[OPERATIONS]:
        op = int_array(heads[number])
        if op[CHUNKS] > 1:
            break
        _call_chunks(columns, own, heads[number], 0, 1)
        number += 1
    return number


@jit_cached
def _call_chunks(columns, own, head, begin, end):
    """Carries out chunks of an operation on the tile that all threads work on."""
    op = int_array(head)
    bounds = int_array(op[BOUNDS])
    call_interpreter(
        columns[CODE],
        head,
        bounds[begin],
        bounds[end],
        columns[ARENA],
        own,
        columns[UNIT],
        columns[SOURCE],
        columns[TARGET],
        columns[IMAGES],
    )


@jit_cached
def execute(job, slots):
    """Carries out the job at the address, with the threads that watch the slots and are free.

    Args:
        job: Address of the job.
        slots: int64, the addresses of the slots.
    """
    columns = int_array(job)
    columns[TICKET] = 0
    for slot in slots:
        # A thread that is busy with another job is not waited for.
        compare_exchange(slot, 0, job)
    run_job(job, 0)
    for slot in slots:
        # Who took the offer leaves only when nothing is left to begin, and its part is finished.
        if not compare_exchange(slot, job, 0):
            spins = 0
            while atomic_load(slot) == -job:
                cpu_pause()
                spins += 1
                if spins % _SPINS_BEFORE_YIELD == 0:
                    yield_thread()


@jit_cached
def worker_loop(slot, thread, patience):
    """Carries out the jobs offered in the slot; returns once `patience` looks found none."""
    waited = 0
    while waited < patience:
        job = atomic_load(slot)
        if job > 0 and compare_exchange(slot, job, -job):
            run_job(job, thread)
            atomic_store(slot, 0)
            waited = 0
        cpu_pause()
        waited += 1
