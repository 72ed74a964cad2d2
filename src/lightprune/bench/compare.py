"""Benches a network: builds every backend, times them in turn, compares their outputs."""

import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from timeit import repeat
from typing import TypeVar

import torch
from torch import Tensor

from lightprune.bench.backends import (
    BACKENDS,
    EAGER,
    ONNX,
    SPARSE,
    STRIPPED,
    Backend,
    Runner,
)
from lightprune.bench.bench_config import BenchConfig
from lightprune.bench.evaluation_images import EvaluationImages, find_evaluation_images
from lightprune.bench.machine import all_versions, this_machine
from lightprune.bench.model_files import ModelFiles
from lightprune.bench.op_profile import profile_ops
from lightprune.bench.output_check import OutputCheck, compare_with_eager, logits_of
from lightprune.bench.peak_flops import peak_flops
from lightprune.bench.result import BenchResult, OpProfile
from lightprune.bench.startup import Startup, measure_startup
from lightprune.bench.timing import Timing, take_turns
from lightprune.errors import InputError, first_line
from lightprune.export.load import load
from lightprune.export.loaded_network import LoadedNetwork
from lightprune.export.onnx_file import missing_packages
from lightprune.provenance import commit
from lightprune.rendering.number_format import counted
from lightprune.sparse.ir.program import ConvStep, Program
from lightprune.sparse.runtime.compiled_module import CompiledModule
from lightprune.sparse.runtime.network import SparseNetwork

Log = Callable[[str], None]
T = TypeVar("T")
_SPARSE_FILE = "sparse file"
_REDUCED = {"sparse, fp16": "fp16", "sparse, int8": "int8"}
_COMPILED = "; sparse.compile is timed in its place: "


def compare_backends(loaded: LoadedNetwork, config: BenchConfig, log: Log) -> BenchResult:
    """Measures a network on every backend; `log` gets a few words at the start of every step.

    Raises:
        InputError: The test images do not fit the network, or no backend can be used.
    """
    threads_before = torch.get_num_threads()
    images, random_because = find_evaluation_images(loaded, config.data_root)
    for note in loaded.notes:
        log(note)
    with TemporaryDirectory(prefix="lightprune-bench-") as folder:
        session = _Session(ModelFiles(loaded, Path(folder)), config, log)
        if random_because:
            session.skipped["accuracy"] = random_because
        try:
            cost = loaded.cost.total
            session.forecast()
            log("sparse runtime: load, first call")
            sparse = session.attempt(_SPARSE_FILE, session.sparse_network)
            startup = session.startup() if sparse and config.startup else None
            for threads in config.threads:
                session.compare(threads, images if threads == max(config.threads) else None)
            profile = session.profile(sparse) if sparse and config.profile else None
        finally:
            torch.set_num_threads(threads_before)
        if not session.timings:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in session.skipped.items())
            raise InputError(f"--backends: {reasons}; allowed is another one")
        log("files")
        timed = {timing.backend for timing in session.timings}
        return BenchResult(
            path=str(loaded.path),
            command=shlex.join(sys.argv),
            commit=commit(),
            versions=all_versions(),
            machine=this_machine(),
            cost=cost,
            runtime_macs=_macs(sparse.program) if sparse else None,
            startup=startup,
            sizes=session.sizes(),
            evaluation_images=images.origin,
            backends={b.name: b.label for b in BACKENDS if b.name in timed},
            skipped=session.skipped,
            timings=tuple(session.timings),
            output_checks=tuple(session.output_checks),
            profile=profile,
        )


def _macs(program: Program) -> int:
    return sum(program.macs(step) for step in program.steps if isinstance(step, ConvStep))


class _Session:
    """One bench: what the backends are built from, and what was measured so far."""

    def __init__(self, files: ModelFiles, config: BenchConfig, log: Log) -> None:
        self.files, self.config, self.log = files, config, log
        self.skipped: dict[str, str] = {}
        self.timings: list[Timing] = []
        self.output_checks: list[OutputCheck] = []

    def forecast(self) -> None:
        network, images = self.files.loaded.network, self.files.loaded.random_images(1)
        with torch.inference_mode():
            call = self.attempt(EAGER, lambda: min(repeat(lambda: network(images), number=1)))
        if call is not None:
            for line in self.config.forecast(call):
                self.log(line)

    def sparse_network(self) -> SparseNetwork:
        """As users get it: read from the exported file."""
        network = load(self.files.sparse())
        assert isinstance(network, SparseNetwork)
        return network

    def attempt(self, name: str, make: Callable[[], T]) -> T | None:
        """What `make` returns; None if it fails, or was skipped by that name before."""
        if name in self.skipped:
            return None
        try:
            return make()
        except Exception as error:  # Compilers, other runtimes and the network may fail in any way.
            self.skipped[name] = first_line(error)
            return None

    def startup(self) -> Startup | None:
        if SPARSE not in [backend.name for backend in self.config.backends]:
            return None
        return self.attempt("startup", lambda: measure_startup(self.files.sparse()))

    def compare(self, threads: int, images: EvaluationImages | None) -> None:
        torch.set_num_threads(threads)
        runners = self._build(threads)
        if not runners:
            return
        with torch.inference_mode():
            for batch in self.config.batches:
                self.log(f"{counted(threads, 'thread')}, batch {batch}")
                self._time(runners, threads, batch)
        if images is not None:
            self._check_outputs(runners, images)

    def _build(self, threads: int) -> dict[Backend, Runner]:
        if any(backend.needs_compiler for backend in self.config.backends):
            # Graphs compiled for another number of threads would be tried at every call. Before all
            # of them: what is reset is compiled anew by the first call that is timed.
            torch._dynamo.reset()
        runners = {}
        for backend in self.config.backends:
            runner = self.attempt(backend.name, partial(self._warm_runner, backend, threads))
            if runner is not None:
                runners[backend] = runner
        return runners

    def _warm_runner(self, backend: Backend, threads: int) -> Runner:
        if reason := backend.missing():
            raise InputError(reason)
        self.log(f"{backend.label}, {counted(threads, 'thread')}: getting ready")
        runner = backend.build(self.files.stripped if backend.stripped else self.files, threads)
        if isinstance(runner, CompiledModule):
            reason, regions = self.skipped[_SPARSE_FILE], str(runner).partition("\n")[0]
            self.skipped[_SPARSE_FILE] = f"{reason.partition(_COMPILED)[0]}{_COMPILED}{regions}"
        with torch.inference_mode():
            for batch in reversed(self.config.batches):
                runner(self._random_images(batch, backend))
        return runner

    def _time(self, runners: dict[Backend, Runner], threads: int, batch: int) -> None:
        calls = {
            backend.name: partial(runner, self._random_images(batch, backend))
            for backend, runner in runners.items()
        }
        for name, seconds in take_turns(calls, self.config.budget).items():
            self.timings.append(Timing.of(name, threads, batch, seconds))

    def _random_images(self, batch: int, backend: Backend) -> Tensor:
        return self.files.loaded.random_images(batch).contiguous(memory_format=backend.layout)

    def _check_outputs(self, runners: dict[Backend, Runner], images: EvaluationImages) -> None:
        self.log(f"{len(images.images):,} {images.origin}")
        eager = self.attempt(EAGER, partial(logits_of, self.files.loaded.network, images))
        if eager is None:
            return

        def compare(name: str, logits: Callable[[], Tensor]) -> None:
            check = self.attempt(
                name, lambda: compare_with_eager(name, logits(), eager, images.labels)
            )
            if check is not None:
                self.output_checks.append(check)

        for backend, runner in runners.items():
            logits = partial(logits_of, runner, images, backend.layout)
            compare(backend.name, (lambda: eager) if backend.name == EAGER else logits)
            if backend.name == SPARSE and _SPARSE_FILE not in self.skipped:
                for name, values in _REDUCED.items():
                    compare(name, partial(self._reduced_logits, values, images))

    def _reduced_logits(self, values: str, images: EvaluationImages) -> Tensor:
        return logits_of(load(self.files.sparse(values)), images)

    def sizes(self) -> dict[str, int]:
        """Bytes of every file that can be written here, by its format."""
        files, sizes = self.files, {}
        formats: list[tuple[str, str, Callable[[], Path]]] = [
            ("safetensors, dense", "safetensors", lambda: files.plain),
            ("safetensors, dense, zlib", "safetensors", lambda: files.zipped),
            ("sparse, fp32", _SPARSE_FILE, files.sparse),
        ]
        if _SPARSE_FILE not in self.skipped:
            formats += [(n, n, partial(files.sparse, values)) for n, values in _REDUCED.items()]
        if not missing_packages():
            stripped = "ONNX, unreachable weights stripped"
            formats.append(("ONNX, dense", ONNX, lambda: files.onnx))
            formats.append((stripped, STRIPPED, lambda: files.stripped.onnx))
        for label, name, file in formats:
            if (path := self.attempt(name, file)) is not None:
                sizes[label] = path.stat().st_size
        return sizes

    def profile(self, network: SparseNetwork) -> OpProfile | None:
        self.log("operations of the sparse runtime")
        return self.attempt("profile", lambda: OpProfile(peak_flops(), profile_ops(network)))
