"""The story of a bench: read the network, set up the engines, let them take turns, compare."""

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
from lightprune.bench.machine import all_versions, available_cores, this_machine
from lightprune.bench.model_files import ModelFiles
from lightprune.bench.op_profile import profile_ops
from lightprune.bench.output_check import OutputCheck, check_outputs, logits_of
from lightprune.bench.peak_flops import peak_flops
from lightprune.bench.result import BenchResult, OpProfile
from lightprune.bench.startup import Startup, measure_startup
from lightprune.bench.timing import Timing, TimingBudget, take_turns
from lightprune.errors import InputError, check_number, first_line
from lightprune.export.load import load
from lightprune.provenance import commit
from lightprune.sparse.ir.program import ConvStep
from lightprune.sparse.runtime.network import SparseNetwork

Say = Callable[[str], None]
_LARGEST_BATCH = 4096
_FP16 = "sparse, fp16"


@dataclass(frozen=True)
class BenchConfig:
    """What is to be measured.

    Attributes:
        engines: Which.
        threads: How many each may use, one number after the other.
        batches: Images a call.
        effort: How long.
        startup: Whether to start the sparse runtime in processes of its own, too.
        layers: Whether to time every operation of the sparse runtime, too.
        data_root: Where the test images lie; None takes the place that the run names.
    """

    engines: tuple[Backend, ...]
    threads: tuple[int, ...]
    batches: tuple[int, ...]
    effort: TimingBudget
    startup: bool = True
    layers: bool = False
    data_root: Path | None = None

    def __post_init__(self) -> None:
        """Checks every number against this machine."""
        for threads in self.threads:
            check_number("--threads", threads, 1, available_cores(), whole=True)
        for batch in self.batches:
            check_number("--batches", batch, 1, _LARGEST_BATCH, whole=True)
        check_number("--rounds", self.effort.rounds, 1, 1000, whole=True)


def parse_int_list(option: str, text: str) -> tuple[int, ...]:
    """The whole numbers of a comma-separated list, ascending.

    Raises:
        InputError: It is something else, or names one twice.
    """
    try:
        found = sorted(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(
            f"{option}={text}: allowed are whole numbers with commas between them"
        ) from error
    if len(set(found)) < len(found):
        raise InputError(f"{option}={text}: names one twice; allowed is each once")
    return tuple(found)


def bench(subject: LoadedNetwork, asked: BenchConfig, say: Say) -> BenchResult:
    """Measures the network on every engine.

    Args:
        subject: The network.
        asked: What is to be measured.
        say: Told in a few words what is being done.

    Raises:
        InputError: The data is not what was asked for, or no engine can be used.
    """
    before = torch.get_num_threads()
    examples, random_because = find_evaluation_images(subject, asked.data_root)
    with TemporaryDirectory(prefix="lightprune-bench-") as folder:
        ring = _Ring(ModelFiles(subject, Path(folder)), asked, say)
        if random_because:
            ring.left_out["accuracy"] = random_because
        try:
            started = ring.startup()
            for threads in asked.threads:
                ring.compare(threads, examples if threads == max(asked.threads) else None)
            layers = ring.layers() if asked.layers else None
        finally:
            torch.set_num_threads(before)
        if not ring.timings:
            raise InputError(f"--engines: {'; '.join(ring.reasons())}; allowed is another one")
        say("files")
        program = ring.network.program
        return BenchResult(
            path=str(subject.path),
            command=shlex.join(sys.argv),
            commit=commit(),
            versions=all_versions(),
            machine=this_machine(),
            cost=subject.cost.total,
            runtime_macs=sum(program.macs(s) for s in program.steps if isinstance(s, ConvStep)),
            startup=started,
            sizes=ring.forms.sizes(),
            examples=examples.what,
            engines=tuple(e for e in BACKENDS if any(t.engine == e.name for t in ring.timings)),
            left_out=ring.left_out,
            timings=tuple(ring.timings),
            agreements=tuple(ring.agreements),
            layers=layers,
        )


class _Ring:
    """Where the engines meet: what they are built from, and what came out so far."""

    def __init__(self, forms: ModelFiles, asked: BenchConfig, say: Say) -> None:
        self.forms, self.asked, self.say = forms, asked, say
        self.subject = forms.subject
        self.left_out: dict[str, str] = {}
        self.timings: list[Timing] = []
        self.agreements: list[OutputCheck] = []

    def reasons(self) -> list[str]:
        """Why engines were left out, a line each."""
        return [f"{name}: {reason}" for name, reason in self.left_out.items()]

    @cached_property
    def network(self) -> SparseNetwork:
        """The sparse runtime with the network, as its file tells it."""
        network = load(self.forms.sparse)
        assert isinstance(network, SparseNetwork)
        return network

    def startup(self) -> Startup | None:
        """How long it takes until the sparse runtime has answered, if that was asked for."""
        if not self.asked.startup or SPARSE not in [e.name for e in self.asked.engines]:
            return None
        self.say("sparse runtime: load, first call")
        try:
            return measure_startup(self.forms.sparse)
        except (OSError, RuntimeError, ValueError) as error:
            self.left_out["startup"] = str(error)
            return None

    def compare(self, threads: int, examples: EvaluationImages | None) -> None:
        """Times every engine with so many threads; compares their outputs if there are images."""
        torch.set_num_threads(threads)
        runners = self._built(threads)
        if not runners:
            return
        with torch.inference_mode():
            for batch in self.asked.batches:
                self.say(f"{threads} thread(s), batch {batch}")
                self._time(runners, threads, batch)
        if examples is not None:
            self._agree(runners, examples)

    def _built(self, threads: int) -> dict[Backend, Runner]:
        """The engines that can be used, each having answered once for every batch."""
        found = {}
        for engine in self.asked.engines:
            if engine.name in self.left_out:
                continue
            reason = engine.missing()
            if reason is None:
                self.say(f"{engine.label}, {threads} thread(s): getting ready")
                try:
                    runner = engine.build(self.forms, threads)
                    with torch.inference_mode():
                        for batch in reversed(self.asked.batches):
                            runner(_arranged(self.subject.images(batch), engine))
                    found[engine] = runner
                    continue
                except Exception as error:  # Compilers and other runtimes may fail in any way.
                    reason = first_line(error)
            self.left_out[engine.name] = reason
        return found

    def _time(self, runners: dict[Backend, Runner], threads: int, batch: int) -> None:
        images = self.subject.images(batch)
        calls = {
            engine.name: partial(runner, _arranged(images, engine))
            for engine, runner in runners.items()
        }
        for name, seconds in take_turns(calls, self.asked.effort).items():
            self.timings.append(Timing.of(name, threads, batch, seconds))

    def _agree(self, runners: dict[Backend, Runner], examples: EvaluationImages) -> None:
        self.say(f"{len(examples.images):,} {examples.what}")
        eager = logits_of(self.subject.network, examples)
        for engine, runner in runners.items():
            # What eager torch says is known already.
            same = engine.name == EAGER
            found = eager if same else logits_of(runner, examples, engine.layout)
            self.agreements.append(check_outputs(engine.name, found, eager, examples.labels))
            if engine.name == SPARSE:
                try:
                    narrow = load(self.forms.sparse_fp16)
                except InputError as error:
                    self.left_out[_FP16] = str(error)
                    continue
                found = logits_of(narrow, examples)
                self.agreements.append(check_outputs(_FP16, found, eager, examples.labels))

    def layers(self) -> OpProfile:
        """Times every operation of the sparse runtime."""
        self.say("operations of the sparse runtime")
        return OpProfile(peak_flops(), profile_ops(self.network))


def _arranged(images: Tensor, engine: Backend) -> Tensor:
    return images.contiguous(memory_format=engine.layout)
