"""`SparseNetwork`: the pruned network as a callable that runs its non-zero weights, on the CPU."""

import os
import threading
import time
from collections.abc import Mapping
from functools import cached_property
from math import ceil, prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightprune.errors import InputError
from lightprune.sparse.codegen.assembler import compile_program
from lightprune.sparse.codegen.executable import Executable
from lightprune.sparse.codegen.layout_cost import cache_sizes, estimated_seconds
from lightprune.sparse.ir.graph import INPUT, Graph
from lightprune.sparse.ir.program import Program
from lightprune.sparse.isa.register_blocks import CACHE_LINE, LANES
from lightprune.sparse.kernels.dispatch import interpreter
from lightprune.sparse.passes.lower import lower
from lightprune.sparse.runtime.job import JOB
from lightprune.sparse.runtime.thread_choice import ThreadChoice
from lightprune.sparse.runtime.thread_pool import wake_workers
from lightprune.sparse.runtime.work_sharing import execute


class Workspace:
    """Memory for one call at a time: a job record, an arena a thread, and one that they share."""

    def __init__(self, executable: Executable) -> None:
        self._executable = executable
        self._arenas = 0
        self.memory = _aligned(0, np.float32)
        self._job = job = _aligned(1, JOB)
        self._address = job.ctypes.data
        # A view: one assignment a call takes less time than one a field.
        self._call = job[["source", "target", "images", "minibatches", "threads"]]
        size = executable.images_per_vector
        job["heads"] = executable.heads.ctypes.data
        job["n_heads"] = len(executable.heads)
        job["arena_size"] = 4 * executable.arena_size
        job["images_per_vector"] = size
        job["source_stride"] = 4 * size * prod(executable.input_shape)
        job["target_stride"] = 4 * size * prod(executable.output_shape)
        job["flags"] = executable.memory.flags_size // 2
        job["interpreter"] = interpreter()

    def run(self, images: int, outputs: int, count: int, minibatches: int, threads: int) -> None:
        """Computes the outputs of `count` images; both by their addresses.

        They are split into minibatches, each for one of at most so many threads; 0: not split, and
        all threads work on one.
        """
        arenas = threads if minibatches else threads + 1
        if self._arenas < arenas:
            self.memory = _aligned(arenas * self._executable.arena_size, np.float32)
            self._job["arena"] = self.memory.ctypes.data
            self._arenas = arenas
        self._call[0] = (images, outputs, count, minibatches, threads)
        execute(self._address, wake_workers(threads - 1))


def _aligned(count: int, kind: Any) -> NDArray[Any]:
    size = count * np.dtype(kind).itemsize
    memory = np.zeros(size + CACHE_LINE, np.uint8)
    skipped = -memory.ctypes.data % CACHE_LINE
    array: NDArray[Any] = memory[skipped : skipped + size].view(kind)
    return array


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
        """Lowers the network to a program; the first call compiles the rest.

        A call takes at most so many threads, and fewer where those are as fast; None or 0 follows
        `torch.get_num_threads()`.

        Raises:
            InputError: The graph and the tensors do not fit.
        """
        super().__init__()
        self.threads = threads
        self.program: Program = lower(graph, state)
        self._reset()
        self.eval()

    def _reset(self) -> None:
        self._idle: dict[int, list[Workspace]] = {1: [], LANES: []}
        self._choices: dict[tuple[int, int], ThreadChoice] = {}
        self._compile_lock = threading.Lock()
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        # All else holds addresses; a copy compiles again at its first call.
        compiled = (
            "single", "batched", "min_images_in_lanes", "_idle", "_choices", "_compile_lock",
            "_process",
        )  # fmt: skip
        return {name: value for name, value in vars(self).items() if name not in compiled}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._reset()

    @cached_property
    def single(self) -> Executable:
        """The program compiled for one image at a time."""
        return compile_program(self.program, 1)

    @cached_property
    def batched(self) -> Executable:
        """The program compiled for `LANES` images at a time."""
        return compile_program(self.program, LANES)

    @cached_property
    def min_images_in_lanes(self) -> int:
        """From how many images on `LANES` at a time take no longer than one by one, estimated."""
        try:
            batched = self.batched
        except InputError:
            return LANES + 1  # So many images are too large for it.
        caches = cache_sizes()
        ratio = estimated_seconds(batched, caches) / estimated_seconds(self.single, caches)
        if ratio > LANES:
            del self.batched  # Its weights are as large as those that are used.
        return ceil(ratio)

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
        choice = self._thread_choice(count)
        threads, begin = choice.threads, time.perf_counter()
        # With the images' dtype and device, whatever the defaults are.
        outputs = images.new_empty(count, *(shape[:1] if self.program.flat else shape))
        if count:
            # A reference that outlives the call: the kernels have only the address.
            source = images.resolve_neg().contiguous()
            self._run(source.data_ptr(), outputs.data_ptr(), count, threads)
        choice.record(threads, time.perf_counter() - begin)
        return outputs

    def _thread_choice(self, count: int) -> ThreadChoice:
        most = max(1, self.threads or torch.get_num_threads())
        try:
            return self._choices[count, most]
        except KeyError:
            return self._choices.setdefault((count, most), ThreadChoice(most))

    def _check(self, images: Tensor) -> None:
        shape = self.program.shapes[INPUT]
        if not isinstance(images, Tensor):
            raise ValueError(f"images are a {type(images).__name__}: needs a tensor")
        if images.shape[1:] != shape:
            expected = ", ".join(map(str, shape))
            raise ValueError(f"images of shape {tuple(images.shape)}: needs (N, {expected})")
        is_dense = images.dtype is torch.float32 and images.layout is torch.strided
        if not (is_dense and images.is_cpu):
            kind = (images.dtype, images.layout, images.device.type)
            actual = ", ".join(str(part).removeprefix("torch.") for part in kind)
            raise ValueError(f"images are {actual}: needs float32, strided, cpu")

    def _run(self, images: int, outputs: int, count: int, threads: int) -> None:
        in_lanes = self._images_in_lanes(count)
        source, target = self._image_bytes
        for size, first, end in ((LANES, 0, in_lanes), (1, in_lanes, count)):
            if first < end:
                addresses = images + first * source, outputs + first * target
                self._run_minibatches(size, *addresses, end - first, threads)

    @cached_property
    def _image_bytes(self) -> tuple[int, int]:
        """Those of an image, and of its outputs."""
        shapes = self.program.shapes
        return 4 * prod(shapes[INPUT]), 4 * prod(shapes[self.program.output])

    def _images_in_lanes(self, count: int) -> int:
        """How many images go in minibatches of `LANES`, the last one perhaps filled up."""
        if count < LANES or self._compiled("min_images_in_lanes") > LANES:
            return 0
        rest = count % LANES
        return count if rest >= self.min_images_in_lanes else count - rest

    def _run_minibatches(
        self, size: int, images: int, outputs: int, count: int, threads: int
    ) -> None:
        minibatches = -(-count // size)
        # Each thread takes as many; those left over are for all together, unless most get one more.
        shared = minibatches % threads
        whole = minibatches if 2 * shared > threads else minibatches - shared
        workspace = self._workspace(size)
        if whole:
            workspace.run(images, outputs, min(count, whole * size), whole, threads)
        source, target = self._image_bytes
        for first in range(whole * size, count, size):
            part = min(size, count - first)
            workspace.run(images + first * source, outputs + first * target, part, 0, threads)
        self._idle[size].append(workspace)

    def _workspace(self, images_per_vector: int) -> Workspace:
        try:
            return self._idle[images_per_vector].pop()
        except IndexError:
            return Workspace(self._compiled("single" if images_per_vector == 1 else "batched"))

    def _compiled(self, name: str) -> Any:
        """A cached property; one thread computes it while others wait."""
        if name not in vars(self):
            if self._process != os.getpid():
                # Forked while another thread compiled: nobody here would ever release its lock.
                self._compile_lock, self._process = threading.Lock(), os.getpid()
            with self._compile_lock:
                return getattr(self, name)
        return vars(self)[name]
