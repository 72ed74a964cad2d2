"""Memory: dense phases hold no masks, and an event needs at most twice the prunable weights."""

import multiprocessing
from pathlib import Path

import pytest
from torch import nn

from lightprune.pruning import Sparsifier

WIDTH, LAYERS = 1024, 12
SIZE = 4 * WIDTH * WIDTH * LAYERS


def memory(name):
    """A figure of this process' memory, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def extra(queue):
    """The memory that a sparsifier holds, and the peak over its first and second event."""
    Sparsifier(nn.Linear(512, 512)).prune_(0.5)  # What torch loads at its first use.
    network = nn.Sequential(*(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(LAYERS)))
    before = memory("VmRSS")
    sparsifier = Sparsifier(network)
    held = memory("VmRSS") - before
    peaks = []
    for sparsity in (0.5, 0.9):
        before = memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")
        sparsifier.prune_(sparsity)
        peaks.append(memory("VmHWM") - before)
    queue.put((held / SIZE, peaks[0] / SIZE, peaks[1] / SIZE))


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux measures peaks")
def test_masks_take_no_memory_before_an_event_and_an_event_twice_the_weights():
    spawn = multiprocessing.get_context("spawn")
    queue = spawn.Queue()
    process = spawn.Process(target=extra, args=(queue,))
    process.start()
    held, first, second = queue.get(timeout=120)
    process.join()

    assert held < 0.05
    assert first < 2
    assert second < 2
