"""`SparseNetwork`: the pruned network as a callable that runs its non-zero weights, on the CPU."""

import os
import threading
from collections.abc import Mapping
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightprune.sparse.codegen.assembler import Executable, compile_program
from lightprune.sparse.ir.graph import INPUT, Graph
from lightprune.sparse.ir.program import Program
from lightprune.sparse.isa.register_blocks import LANES
from lightprune.sparse.kernels.dispatch import interpreter
from lightprune.sparse.passes.lower import lower
from lightprune.sparse.runtime import work_sharing as jobs
from lightprune.sparse.runtime.thread_pool import wake_workers

_ALIGNMENT = 64


class Workspace:
    """Memory for one call at a time: a job, an arena for every thread, and one for all of them.

    Attributes:
        memory: float32, the arenas; they come with the first run.
    """

    def __init__(self, code: Executable) -> None:
        """Prepares the job that carries out `code`."""
        self._code = code
        self._job = _aligned(jobs.COLUMNS, np.int64)
        self._address = self._job.ctypes.data
        self._arenas = 0
        self.memory = _aligned(0, np.float32)
        self._job[jobs.OPERATIONS] = len(code.heads)
        self._job[jobs.HEADS] = code.heads.ctypes.data
        self._job[jobs.ARENA_SIZE] = 4 * code.arena_size
        self._job[jobs.UNIT] = code.unit
        self._job[jobs.SOURCE_STEP] = 4 * code.unit * prod(code.input_shape)
        self._job[jobs.TARGET_STEP] = 4 * code.unit * prod(code.output_shape)
        self._job[jobs.CODE] = interpreter()
        self._job[jobs.STAMPS] = code.layout.stamps // 2

    def run(self, images: int, outputs: int, count: int, tiles: int, threads: int) -> None:
        """Carries out one job: `tiles` of images apart, or one tile together if 0.

        Args:
            images: Address of the images.
            outputs: Address of the outputs.
            count: Number of images.
            tiles: Into how many tiles they are cut.
            threads: How many may work on it.
        """
        arenas = threads if tiles else threads + 1
        if self._arenas < arenas:
            self.memory = _aligned(arenas * self._code.arena_size, np.float32)
            self._job[jobs.ARENA] = self.memory.ctypes.data
            self._arenas = arenas
        job = self._job
        job[jobs.SOURCE] = images
        job[jobs.TARGET] = outputs
        job[jobs.IMAGES] = count
        job[jobs.TILES] = tiles
        job[jobs.THREADS] = threads
        jobs.execute(self._address, wake_workers(threads - 1))


def _aligned(size: int, kind: type[np.generic]) -> NDArray[Any]:
    array: NDArray[Any] = np.zeros(size + _ALIGNMENT, kind)
    skipped = -array.ctypes.data % _ALIGNMENT // array.itemsize
    return array[skipped : skipped + size]


class SparseNetwork(nn.Module):
    """A network that multiplies with its non-zero weights only.

    It computes what the network it was made from computes in evaluation mode, up to the rounding
    of float32; the result for an image does not depend on the batch, nor on the number of threads.
    NaN and infinity come out where that network has them, but for zero weights times infinity:
    what is not stored is not NaN, and batches may store other zeros than single images do.
    Several threads may call it at the same time. It has no parameters and cannot be trained.
    """

    def __init__(
        self, graph: Graph, state: Mapping[str, NDArray[np.generic]], threads: int | None = None
    ) -> None:
        """Simplifies the network; the rest is prepared at the first call.

        Args:
            graph: The network's operations.
            state: Its tensors by name, as in the state dict.
            threads: At most so many threads a call; None or 0 follows `torch.get_num_threads()`.

        Raises:
            InputError: The graph and the tensors do not fit.
        """
        super().__init__()
        self.threads = threads
        self.program: Program = lower(graph, state)
        self._unprepared()
        self.eval()

    def _unprepared(self) -> None:
        self._idle: dict[int, list[Workspace]] = {1: [], LANES: []}
        self._preparing = threading.Lock()
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        """What a copy needs: all else holds addresses, and is prepared again at its first call."""
        prepared = ("single", "batched", "_idle", "_preparing", "_process")
        return {name: value for name, value in vars(self).items() if name not in prepared}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Takes what another network gave."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._unprepared()

    @cached_property
    def single(self) -> Executable:
        """What is carried out for one image."""
        return compile_program(self.program, 1)

    @cached_property
    def batched(self) -> Executable:
        """What is carried out for `LANES` images."""
        return compile_program(self.program, LANES)

    def forward(self, images: Tensor) -> Tensor:
        """Computes the outputs of a batch.

        Args:
            images: float32 (N, C, H, W), on the CPU, of the size the network was traced with.

        Returns:
            float32 (N, classes), or (N, C', H', W') if the network ends in maps.

        Raises:
            ValueError: The images are of another shape, type or device.
        """
        self._check(images)
        shape = self.program.shapes[self.program.output]
        count = images.shape[0]
        # Of the images' type and on their device, whatever the defaults are.
        outputs = images.new_empty(count, *(shape[:1] if self.program.flat else shape))
        if count:
            # A copy that outlives the call: its address is all that the kernels know.
            read = images.resolve_neg().contiguous()
            self._run(read.data_ptr(), outputs.data_ptr(), count)
        return outputs

    def _check(self, images: Tensor) -> None:
        shape = self.program.shapes[INPUT]
        if not isinstance(images, Tensor):
            raise ValueError(f"images are a {type(images).__name__}: needs a tensor")
        if images.shape[1:] != shape:
            needed = ", ".join(map(str, shape))
            raise ValueError(f"images of shape {tuple(images.shape)}: needs (N, {needed})")
        dense = images.dtype is torch.float32 and images.layout is torch.strided
        if not (dense and images.is_cpu):
            kind = (images.dtype, images.layout, images.device.type)
            named = ", ".join(str(part).removeprefix("torch.") for part in kind)
            raise ValueError(f"images are {named}: needs float32, strided, cpu")

    def _run(self, images: int, outputs: int, count: int) -> None:
        threads = max(1, self.threads or torch.get_num_threads())
        unit = 1 if count < LANES else LANES
        workspace = self._taken(unit)
        tiles = -(-count // unit)
        if tiles >= threads:
            workspace.run(images, outputs, count, tiles, threads)
        else:
            shapes = self.program.shapes
            sizes = [4 * prod(shapes[name]) for name in (INPUT, self.program.output)]
            for first in range(0, count, unit):
                workspace.run(
                    images + first * sizes[0],
                    outputs + first * sizes[1],
                    min(unit, count - first),
                    0,
                    threads,
                )
        self._idle[unit].append(workspace)

    def _taken(self, unit: int) -> Workspace:
        try:
            return self._idle[unit].pop()
        except IndexError:
            if self._process != os.getpid():
                # Forked while another thread prepared: nobody here would ever release its lock.
                self._preparing, self._process = threading.Lock(), os.getpid()
            with self._preparing:
                return Workspace(self.single if unit == 1 else self.batched)
