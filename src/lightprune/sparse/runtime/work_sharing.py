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
    call_operation,
    fetch,
    fetch_add,
    give_way,
    publish,
    relax,
    replace_if,
)
from lightprune.sparse.jit.compile import compiled
from lightprune.sparse.jit.pointers import integers

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
_SPINS_BEFORE_GIVING_WAY = 2000


@compiled
def run_job(job, thread):
    """Works on the job at the address until nothing of it is left to begin."""
    columns = integers(job)
    if columns[TILES] > 0:
        _work_on_tiles(job, columns, columns[ARENA] + thread * columns[ARENA_SIZE])
    else:
        # The first arena is everybody's. What a thread sorts must not lie where another has been:
        # its core would ask for every cache line before it writes to it.
        own = columns[ARENA] + (1 + thread) * columns[ARENA_SIZE]
        _forget_stamps(columns, own)
        _work_together(job, columns, own)


@compiled
def _forget_stamps(columns, own):
    stamps = integers(own)
    for number in range(columns[STAMPS]):
        stamps[number] = 0


@compiled
def _work_on_tiles(job, columns, own):
    heads, unit = integers(columns[HEADS]), columns[UNIT]
    while True:
        tile = fetch_add(job, 1)
        if tile >= columns[TILES]:
            return
        _forget_stamps(columns, own)
        for number in range(columns[OPERATIONS]):
            op = integers(heads[number])
            call_operation(
                columns[CODE],
                heads[number],
                0,
                integers(op[BOUNDS])[op[CHUNKS]],
                own,
                own,
                unit,
                columns[SOURCE] + tile * columns[SOURCE_STEP],
                columns[TARGET] + tile * columns[TARGET_STEP],
                min(unit, columns[IMAGES] - tile * unit),
            )


@compiled
def _told(ticket):
    """The operation's number, its finished chunks, and those that are taken."""
    return ticket >> 2 * _COUNT_BITS, ticket >> _COUNT_BITS & _COUNT, ticket & _COUNT


@compiled
def _work_together(job, columns, own):
    heads, spins = integers(columns[HEADS]), 0
    while True:
        number, _, taken = _told(fetch(job))
        if number >= columns[OPERATIONS]:
            return
        chunks = integers(heads[number])[CHUNKS]
        if taken < chunks:
            _take(job, columns, own, _share(chunks, columns[THREADS], taken))
        else:
            relax()
            spins += 1
            if spins % _SPINS_BEFORE_GIVING_WAY == 0:
                give_way()


@compiled
def _share(chunks, threads, taken):
    """How many chunks a thread takes that comes when so many are taken.

    Four fifths are for the threads in equal shares. The others go one by one to whoever is free:
    threads are not equally fast, and who comes late must not make the others wait for a large part.
    """
    equal = 4 * chunks // (5 * threads)
    return equal if equal > 0 and taken + equal <= equal * threads else 1


@compiled
def _take(job, columns, own, share):
    """Takes chunks and goes on with what is left, or with what follows, until others have that."""
    heads, threads = integers(columns[HEADS]), columns[THREADS]
    number, _, begin = _told(fetch_add(job, share))
    while number < columns[OPERATIONS]:
        chunks = integers(heads[number])[CHUNKS]
        end = min(begin + share, chunks)
        if begin >= end:
            return
        _carry_out_together(columns, own, heads[number], begin, end)
        share = 1
        _, finished, taken = _told(fetch_add(job, ((end - begin) << _COUNT_BITS) + share))
        if finished + end - begin < chunks:
            begin = taken
            continue
        number, begin = _not_shared(columns, own, number + 1), 0
        if number < columns[OPERATIONS]:
            share = _share(integers(heads[number])[CHUNKS], threads, 0)
        publish(job, (number << 2 * _COUNT_BITS) + share)


@compiled
def _not_shared(columns, own, number):
    """Carries out operations of a single chunk; returns the number of the first that has more.

    Who finished the operation before them has most of what they read at hand.
    """
    heads = integers(columns[HEADS])
    while number < columns[OPERATIONS]:
        op = integers(heads[number])
        if op[CHUNKS] > 1:
            break
        _carry_out_together(columns, own, heads[number], 0, 1)
        number += 1
    return number


@compiled
def _carry_out_together(columns, own, head, begin, end):
    """Carries out chunks of an operation on the tile that all threads work on."""
    op = integers(head)
    bounds = integers(op[BOUNDS])
    call_operation(
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


@compiled
def execute(job, slots):
    """Carries out the job at the address, with the threads that watch the slots and are free.

    Args:
        job: Address of the job.
        slots: int64, the addresses of the slots.
    """
    columns = integers(job)
    columns[TICKET] = 0
    for slot in slots:
        # A thread that is busy with another job is not waited for.
        replace_if(slot, 0, job)
    run_job(job, 0)
    for slot in slots:
        # Who took the offer leaves only when nothing is left to begin, and its part is finished.
        if not replace_if(slot, job, 0):
            spins = 0
            while fetch(slot) == -job:
                relax()
                spins += 1
                if spins % _SPINS_BEFORE_GIVING_WAY == 0:
                    give_way()


@compiled
def worker_loop(slot, thread, patience):
    """Carries out the jobs offered in the slot; returns once `patience` looks found none."""
    waited = 0
    while waited < patience:
        job = fetch(slot)
        if job > 0 and replace_if(slot, job, -job):
            run_job(job, thread)
            publish(slot, 0)
            waited = 0
        relax()
        waited += 1
