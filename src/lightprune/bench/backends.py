"""What can execute the network here: every engine by name, and how each is set up for threads."""

import copy
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from lightprune.bench.csr_baseline import with_csr_weights
from lightprune.bench.model_files import ModelFiles
from lightprune.errors import InputError, check_choice

Runner = Callable[[Tensor], Tensor]

EAGER, STRIPPED, SPARSE = "eager", "onnx-stripped", "sparse"


@dataclass(frozen=True)
class Backend:
    """A way to execute a network on the CPU.

    Attributes:
        name: As on the command line.
        label: As in tables and figures.
        build: Makes it ready for a number of threads; torch already uses as many.
        dense: Whether it is one of those that the sparse runtime has to beat.
        layout: How it likes the images to lie; they lie so before the clock starts.
        needs: Packages that are not part of a plain installation.
        compiles: Whether it needs a C++ compiler.
    """

    name: str
    label: str
    build: Callable[[ModelFiles, int], Runner]
    dense: bool = False
    layout: torch.memory_format = torch.contiguous_format
    needs: tuple[str, ...] = ()
    compiles: bool = False

    def missing(self) -> str | None:
        """What has to be installed first; None if nothing."""
        if absent := [name for name in self.needs if find_spec(name) is None]:
            return f"pip install {' '.join(absent)} makes it possible"
        compilers = (os.environ.get("CXX", "g++"), "clang++")
        if self.compiles and not any(shutil.which(name) for name in compilers):
            return "a C++ compiler (g++, or CXX=...) makes it possible"
        return None


def _eager(forms: ModelFiles, threads: int) -> Runner:
    return forms.subject.network


def _channels_last(forms: ModelFiles, threads: int) -> Runner:
    return _in_channels_last(forms)


def _compiled(forms: ModelFiles, threads: int) -> Runner:
    # What was compiled for other threads would only be looked through at every call.
    torch._dynamo.reset()
    # Frozen weights are folded and packed once. One graph serves all batches of 16 and more, one
    # those between 1 and 16, one a single image: so torch distinguishes them. Their C++ does not
    # depend on the number of threads, and is compiled once.
    options: dict[str, str | int | bool | Callable[..., object]] = {
        "freezing": True,
        "cpp.dynamic_threads": True,
    }
    return torch.compile(_in_channels_last(forms), dynamic=True, options=options)


def _in_channels_last(forms: ModelFiles) -> nn.Module:
    return copy.deepcopy(forms.subject.network).to(memory_format=torch.channels_last)


def _csr(forms: ModelFiles, threads: int) -> Runner:
    return with_csr_weights(forms.subject.network)


def _onnx(forms: ModelFiles, threads: int) -> Runner:
    return _session(forms.onnx, threads)


def _stripped_onnx(forms: ModelFiles, threads: int) -> Runner:
    return _session(forms.stripped_onnx, threads)


def _session(file: Path, threads: int) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])

    return run


def _sparse(forms: ModelFiles, threads: int) -> Runner:
    # Its compiler takes a second to load, and is not needed for the names of engines.
    from lightprune.sparse.runtime.network import SparseNetwork

    return SparseNetwork(forms.subject.graph, forms.subject.state, threads)


_ONNX = ("onnx", "onnxscript", "onnxruntime")
BACKENDS = (
    Backend(EAGER, "eager", _eager, dense=True),
    Backend(
        "channels-last",
        "eager, channels_last",
        _channels_last,
        dense=True,
        layout=torch.channels_last,
    ),
    Backend(
        "compile",
        "torch.compile",
        _compiled,
        dense=True,
        layout=torch.channels_last,
        compiles=True,
    ),
    Backend("onnx", "ONNX Runtime", _onnx, dense=True, needs=_ONNX),
    Backend(STRIPPED, "ONNX Runtime, dead taps stripped", _stripped_onnx, needs=_ONNX),
    Backend("csr", "torch CSR", _csr),
    Backend(SPARSE, "sparse runtime", _sparse),
)


def select_backends(asked: str | None) -> tuple[Backend, ...]:
    """The engines of a comma-separated list, in the order of `BACKENDS`; None asks for all.

    Raises:
        InputError: One is not known.
    """
    known = [engine.name for engine in BACKENDS]
    names = known if asked is None else [name.strip() for name in asked.split(",")]
    for name in names:
        check_choice("--engines", name, known)
    if len(set(names)) < len(names):
        raise InputError(f"--engines={asked}: names one twice; allowed are {', '.join(known)}")
    return tuple(engine for engine in BACKENDS if engine.name in names)
