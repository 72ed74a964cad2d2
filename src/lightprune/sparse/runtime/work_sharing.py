"""One pass through the network, shared among the threads that are free.

There are two ways: each thread takes whole minibatches, or all work on one, instruction by
instruction, each taking chunks of channels or of pixels; an instruction of one chunk stays with the
thread that finished the one before it. No thread waits for one that has not come: a chunk goes to
the first that asks, so a late or busy thread costs speed and never a result.

What one thread writes takes long to reach another, longest between cores that share no cache. So
neighbours take chunks from opposite ends: one mostly reads what it has written itself, and meets
the same weights in every call. And they coordinate by one number, the ticket, and update it in one
atomic step: some chunks are finished, and the next are taken.
"""

from lightprune.sparse.isa.instruction import Operands
from lightprune.sparse.isa.records import record_type
from lightprune.sparse.jit.atomics import (
    atomic_load,
    atomic_store,
    call_interpreter,
    compare_exchange,
    cpu_pause,
    fetch_add,
    yield_thread,
)
from lightprune.sparse.jit.compile import jit_cached, jit_inline
from lightprune.sparse.jit.pointers import int_array, record_at
from lightprune.sparse.runtime.job import JOB

_HEADER = record_type(Operands)

# When threads share minibatches, the ticket is the number of the next one. When they share
# instructions, it holds from its lowest bits on: chunks taken or requested in vain from the front,
# those from the back, chunks finished, and the instruction's number. A thread asks in vain once an
# instruction, so that the bits suffice for tens of thousands of threads.
_COUNT_BITS = 16
_COUNT = (1 << _COUNT_BITS) - 1
_SPINS_BEFORE_YIELD = 2000


@jit_cached
def run_job(job, thread):
    """Works on the `JOB` at the address until nothing of it is left to start; thread 0 calls."""
    fields = record_at(job, JOB)
    if fields.minibatches > 0:
        _run_minibatches(job, fields.arena + thread * fields.arena_size)
    else:
        # The first arena is shared. What a thread packs must not lie where another has been: its
        # core would ask for every cache line before it writes to it.
        private_arena = fields.arena + (1 + thread) * fields.arena_size
        _clear_flags(job, private_arena)
        _run_shared(job, private_arena, thread % 2)


@jit_cached
def _clear_flags(job, arena):
    flags = int_array(arena)
    for number in range(record_at(job, JOB).flags):
        flags[number] = 0


@jit_cached
def _run_minibatches(job, arena):
    fields = record_at(job, JOB)
    heads, size = int_array(fields.heads), fields.images_per_vector
    while True:
        number = fetch_add(job, 1)
        if number >= fields.minibatches:
            return
        _clear_flags(job, arena)
        for index in range(fields.n_heads):
            op = record_at(heads[index], _HEADER)
            call_interpreter(
                fields.interpreter,
                heads[index],
                0,
                int_array(op.chunk_bounds)[op.chunks],
                arena,
                arena,
                size,
                fields.source + number * fields.source_stride,
                fields.target + number * fields.target_stride,
                min(size, fields.images - number * size),
            )


@jit_cached
def _unpack_ticket(ticket):
    """The instruction's number, its finished chunks, and those taken from front and back."""
    front, back = ticket & _COUNT, ticket >> _COUNT_BITS & _COUNT
    return ticket >> 3 * _COUNT_BITS, ticket >> 2 * _COUNT_BITS & _COUNT, front, back


@jit_inline
def _spin(spins):
    """Waits a moment, now and then for another thread on this core; returns the new count."""
    cpu_pause()
    if (spins + 1) % _SPINS_BEFORE_YIELD == 0:
        yield_thread()
    return spins + 1


@jit_cached
def _run_shared(job, private_arena, from_back):
    fields = record_at(job, JOB)
    heads, spins = int_array(fields.heads), 0
    while True:
        number, _, front, back = _unpack_ticket(atomic_load(job))
        if number >= fields.n_heads:
            return
        chunks = record_at(heads[number], _HEADER).chunks
        if front + back < chunks:
            count = _chunks_to_take(chunks, fields.threads, front + back)
            _run_chunks(job, private_arena, from_back, count)
        else:
            spins = _spin(spins)


@jit_cached
def _chunks_to_take(chunks, threads, taken):
    """How many chunks a thread takes that comes when `taken` are taken.

    Four fifths are for the threads in equal shares. The others go one by one to the next free
    thread: threads are not equally fast, and a late one must not make the others wait for a large
    share.
    """
    share = 4 * chunks // (5 * threads)
    return share if share > 0 and taken + share <= share * threads else 1


@jit_cached
def _taken_chunks(chunks, front, back, from_back, count):
    """The first of `count` chunks that are taken next, as far as there are any, and their end."""
    if from_back:
        return max(chunks - back - count, front), chunks - back
    return front, min(front + count, chunks - back)


@jit_cached
def _run_chunks(job, private_arena, from_back, count):
    """Takes chunks of one instruction after the other, until others have taken all of one."""
    fields = record_at(job, JOB)
    heads, shift = int_array(fields.heads), from_back * _COUNT_BITS
    number, _, front, back = _unpack_ticket(fetch_add(job, count << shift))
    while number < fields.n_heads:
        chunks = record_at(heads[number], _HEADER).chunks
        begin, end = _taken_chunks(chunks, front, back, from_back, count)
        if begin >= end:
            return
        _call_chunks(job, private_arena, heads[number], begin, end)
        count, done = 1, end - begin
        ticket = fetch_add(job, (done << 2 * _COUNT_BITS) + (count << shift))
        _, finished, front, back = _unpack_ticket(ticket)
        if finished + done < chunks:
            continue
        number, front, back = _run_unshared(job, private_arena, number + 1), 0, 0
        if number < fields.n_heads:
            chunks = record_at(heads[number], _HEADER).chunks
            count = _chunks_to_take(chunks, fields.threads, 0)
        atomic_store(job, (number << 3 * _COUNT_BITS) + (count << shift))


@jit_cached
def _run_unshared(job, private_arena, number):
    """Runs instructions of a single chunk; returns the number of the first that has more.

    The thread that finished the instruction before them has most of what they read in its cache.
    """
    fields = record_at(job, JOB)
    heads = int_array(fields.heads)
    while number < fields.n_heads:
        if record_at(heads[number], _HEADER).chunks > 1:
            break
        _call_chunks(job, private_arena, heads[number], 0, 1)
        number += 1
    return number


@jit_cached
def _call_chunks(job, private_arena, head, begin, end):
    """Runs chunks of an instruction on the minibatch that all threads work on."""
    fields = record_at(job, JOB)
    bounds = int_array(record_at(head, _HEADER).chunk_bounds)
    call_interpreter(
        fields.interpreter,
        head,
        bounds[begin],
        bounds[end],
        fields.arena,
        private_arena,
        fields.images_per_vector,
        fields.source,
        fields.target,
        fields.images,
    )


@jit_cached
def execute(job, slots):
    """Executes the `JOB` at the address, with the workers that watch the slots and are free."""
    atomic_store(job, 0)
    for slot in slots:
        # A worker that is busy with another job is not waited for.
        compare_exchange(slot, 0, job)
    run_job(job, 0)
    for slot in slots:
        # A worker that took the job returns only when nothing is left to start, and its part is
        # finished.
        if not compare_exchange(slot, job, 0):
            spins = 0
            while atomic_load(slot) == -job:
                spins = _spin(spins)


@jit_cached
def worker_loop(slot, thread, patience):
    """Runs the jobs offered in the slot; returns after `patience` looks without one."""
    waited = 0
    while waited < patience:
        job = atomic_load(slot)
        if job > 0 and compare_exchange(slot, job, -job):
            run_job(job, thread)
            atomic_store(slot, 0)
            waited = 0
        cpu_pause()
        waited += 1
