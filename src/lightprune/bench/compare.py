"""Benches a network: builds every backend, times them in turn, compares their outputs."""

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from lightprune.bench.backends import BACKENDS, EAGER, SPARSE, Backend, Runner
from lightprune.bench.evaluation_images import EvaluationImages, find_evaluation_images
from lightprune.bench.loaded_network import LoadedNetwork
from lightprune.bench.machine import all_versions, this_machine
from lightprune.bench.model_files import ModelFiles
from lightprune.bench.op_profile import profile_ops
from lightprune.bench.output_check import OutputCheck, compare_with_eager, logits_of
from lightprune.bench.peak_flops import peak_flops
from lightprune.bench.result import BenchResult, OpProfile
from lightprune.bench.startup import Startup, measure_startup
from lightprune.bench.timing import Timing, TimingBudget, take_turns
from lightprune.cores import available_cores
from lightprune.errors import InputError, check_number, first_line
from lightprune.export.load import load
from lightprune.provenance import commit
from lightprune.sparse.ir.program import ConvStep
from lightprune.sparse.runtime.network import SparseNetwork

Log = Callable[[str], None]
_LARGEST_BATCH = 4096
_FP16 = "sparse, fp16"


@dataclass(frozen=True)
class BenchConfig:
    """What to measure.

    Attributes:
        backends: Those to compare.
        threads: How many each may use, one number after the other.
        batches: Images a call.
        budget: How long to measure.
        startup: Whether to time the first call of the sparse runtime in new processes.
        profile: Whether to time every operation of the sparse runtime.
        data_root: The folder of the test images; None takes the one that the run names.

    Raises:
        InputError: A number is out of range on this machine.
    """

    backends: tuple[Backend, ...]
    threads: tuple[int, ...]
    batches: tuple[int, ...]
    budget: TimingBudget
    startup: bool = True
    profile: bool = False
    data_root: Path | None = None

    def __post_init__(self) -> None:
        for threads in self.threads:
            check_number("--threads", threads, 1, available_cores(), whole=True)
        for batch in self.batches:
            check_number("--batches", batch, 1, _LARGEST_BATCH, whole=True)
        check_number("--rounds", self.budget.rounds, 1, 1000, whole=True)


def parse_int_list(option: str, text: str) -> tuple[int, ...]:
    """The whole numbers of a comma-separated list, ascending.

    Raises:
        InputError: It is something else, or names one twice.
    """
    try:
        numbers = sorted(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(
            f"{option}={text}: allowed are whole numbers with commas between them"
        ) from error
    if len(set(numbers)) < len(numbers):
        raise InputError(f"{option}={text}: names one twice; allowed is each once")
    return tuple(numbers)


def compare_backends(loaded: LoadedNetwork, config: BenchConfig, log: Log) -> BenchResult:
    """Measures a network on every backend; `log` gets a few words at the start of every step.

    Raises:
        InputError: The test images do not fit the network, or no backend can be used.
    """
    threads_before = torch.get_num_threads()
    images, random_because = find_evaluation_images(loaded, config.data_root)
    with TemporaryDirectory(prefix="lightprune-bench-") as folder:
        session = _Session(ModelFiles(loaded, Path(folder)), config, log)
        if random_because:
            session.skipped["accuracy"] = random_because
        try:
            startup = session.startup()
            for threads in config.threads:
                session.compare(threads, images if threads == max(config.threads) else None)
            profile = session.profile() if config.profile else None
        finally:
            torch.set_num_threads(threads_before)
        if not session.timings:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in session.skipped.items())
            raise InputError(f"--backends: {reasons}; allowed is another one")
        log("files")
        program = session.sparse_network.program
        timed = {timing.backend for timing in session.timings}
        return BenchResult(
            path=str(loaded.path),
            command=shlex.join(sys.argv),
            commit=commit(),
            versions=all_versions(),
            machine=this_machine(),
            cost=loaded.cost.total,
            runtime_macs=sum(program.macs(s) for s in program.steps if isinstance(s, ConvStep)),
            startup=startup,
            sizes=session.files.sizes(),
            evaluation_images=images.origin,
            backends={b.name: b.label for b in BACKENDS if b.name in timed},
            skipped=session.skipped,
            timings=tuple(session.timings),
            output_checks=tuple(session.output_checks),
            profile=profile,
        )


class _Session:
    """One bench: what the backends are built from, and what was measured so far."""

    def __init__(self, files: ModelFiles, config: BenchConfig, log: Log) -> None:
        self.files, self.config, self.log = files, config, log
        self.skipped: dict[str, str] = {}
        self.timings: list[Timing] = []
        self.output_checks: list[OutputCheck] = []

    @cached_property
    def sparse_network(self) -> SparseNetwork:
        """As users get it: read from the exported file."""
        network = load(self.files.sparse)
        assert isinstance(network, SparseNetwork)
        return network

    def startup(self) -> Startup | None:
        if not self.config.startup or SPARSE not in [b.name for b in self.config.backends]:
            return None
        self.log("sparse runtime: load, first call")
        try:
            return measure_startup(self.files.sparse)
        except (OSError, RuntimeError, ValueError) as error:
            self.skipped["startup"] = str(error)
            return None

    def compare(self, threads: int, images: EvaluationImages | None) -> None:
        """Times every backend with so many threads; compares their outputs if there are images."""
        torch.set_num_threads(threads)
        runners = self._build(threads)
        if not runners:
            return
        with torch.inference_mode():
            for batch in self.config.batches:
                self.log(f"{threads} thread(s), batch {batch}")
                self._time(runners, threads, batch)
        if images is not None:
            self._check_outputs(runners, images)

    def _build(self, threads: int) -> dict[Backend, Runner]:
        runners = {}
        for backend in self.config.backends:
            if backend.name in self.skipped:
                continue
            reason = backend.missing()
            if reason is None:
                self.log(f"{backend.label}, {threads} thread(s): getting ready")
                try:
                    runner = backend.build(self.files, threads)
                    with torch.inference_mode():
                        for batch in reversed(self.config.batches):
                            runner(self._random_images(batch, backend))
                    runners[backend] = runner
                    continue
                except Exception as error:  # Compilers and other runtimes may fail in any way.
                    reason = first_line(error)
            self.skipped[backend.name] = reason
        return runners

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
        eager = logits_of(self.files.loaded.network, images)
        for backend, runner in runners.items():
            same = backend.name == EAGER
            logits = eager if same else logits_of(runner, images, backend.layout)
            self.output_checks.append(
                compare_with_eager(backend.name, logits, eager, images.labels)
            )
            if backend.name == SPARSE:
                try:
                    fp16 = load(self.files.sparse_fp16)
                except InputError as error:
                    self.skipped[_FP16] = str(error)
                    continue
                logits = logits_of(fp16, images)
                self.output_checks.append(compare_with_eager(_FP16, logits, eager, images.labels))

    def profile(self) -> OpProfile:
        self.log("operations of the sparse runtime")
        return OpProfile(peak_flops(), profile_ops(self.sparse_network))
