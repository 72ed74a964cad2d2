"""One pass through the network, shared out among the threads that come to help.

Two ways: each thread takes whole tiles of images (`TILES` > 0), or all work on one tile, operation
by operation, each taking chunks of channels; an operation of one chunk stays with whoever finished
the one before it. Nobody waits for a thread that has not come: a chunk goes to whoever asks first,
so a late or busy thread costs speed and never an answer.
"""

from lightprune.sparse.atomics import (
    call_operation,
    fetch,
    fetch_add,
    give_way,
    publish,
    relax,
    replace_if,
)
from lightprune.sparse.columns import BOUNDS, CHUNKS
from lightprune.sparse.compiled import compiled
from lightprune.sparse.memory import integers

# The columns of a job, all int64; addresses and sizes are bytes.
TICKET, OPERATIONS, HEADS, ARENA, ARENA_SIZE, UNIT = range(6)
SOURCE, SOURCE_STEP, TARGET, TARGET_STEP, IMAGES, TILES, STAMPS, CODE = range(6, 14)
FINISHED = 16
"""From here on: the chunks that are finished, one count an operation."""

# The ticket holds the operation's number above the next chunk's.
_CHUNK_BITS = 32
_SPINS_BEFORE_GIVING_WAY = 2000


@compiled
def work(job, thread):
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
def _work_together(job, columns, own):
    heads, spins = integers(columns[HEADS]), 0
    while True:
        ticket = fetch_add(job, 1)
        number, chunk = ticket >> _CHUNK_BITS, ticket & ((1 << _CHUNK_BITS) - 1)
        if number >= columns[OPERATIONS]:
            return
        op = integers(heads[number])
        if chunk < op[CHUNKS]:
            _carry_out_together(columns, own, heads[number], chunk)
            if fetch_add(job + 8 * (FINISHED + number), 1) + 1 == op[CHUNKS]:
                publish(job, _not_shared(columns, own, number + 1) << _CHUNK_BITS)
        else:
            while fetch(job) >> _CHUNK_BITS == number:
                relax()
                spins += 1
                if spins % _SPINS_BEFORE_GIVING_WAY == 0:
                    give_way()


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
        _carry_out_together(columns, own, heads[number], 0)
        number += 1
    return number


@compiled
def _carry_out_together(columns, own, head, chunk):
    """Carries out one chunk of an operation on the tile that all threads work on."""
    op = integers(head)
    bounds = integers(op[BOUNDS])
    call_operation(
        columns[CODE],
        head,
        bounds[chunk],
        bounds[chunk + 1],
        columns[ARENA],
        own,
        columns[UNIT],
        columns[SOURCE],
        columns[TARGET],
        columns[IMAGES],
    )


@compiled
def carry_out(job, slots):
    """Carries out the job at the address, with the threads that watch the slots and are free.

    Args:
        job: Address of the job.
        slots: int64, the addresses of the slots.
    """
    columns = integers(job)
    columns[TICKET] = 0
    for number in range(columns[OPERATIONS]):
        columns[FINISHED + number] = 0
    for slot in slots:
        # A thread that is busy with another job is not waited for.
        replace_if(slot, 0, job)
    work(job, 0)
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
def serve(slot, thread, patience):
    """Carries out the jobs offered in the slot; returns once `patience` looks found none."""
    waited = 0
    while waited < patience:
        job = fetch(slot)
        if job > 0 and replace_if(slot, job, -job):
            work(job, thread)
            publish(slot, 0)
            waited = 0
        relax()
        waited += 1
