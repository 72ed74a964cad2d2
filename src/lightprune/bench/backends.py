"""What can execute a network here: every backend by name, and how each is built for threads."""

import copy
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from lightprune.bench.csr_baseline import with_csr_weights
from lightprune.bench.model_files import ModelFiles
from lightprune.bench.other_runtimes import mnn, onnx_runtime, openvino
from lightprune.errors import InputError, split_choices
from lightprune.models.model import to_channels_last

Runner = Callable[[Tensor], Tensor]

EAGER, ONNX, STRIPPED, SPARSE = "eager", "onnx", "onnx-stripped", "sparse"


@dataclass(frozen=True)
class Backend:
    """A way to execute a network on the CPU.

    Attributes:
        build: Returns a runner for a number of threads; torch already uses as many.
        dense: Whether it is one of the dense float32 backends that the sparse runtime has to beat.
        stripped: Whether it gets the network without its unreachable weights.
        layout: The memory format of its images; they are converted before the clock starts.
        packages: Those it needs that are not part of a plain installation.
    """

    name: str
    label: str
    build: Callable[[ModelFiles, int], Runner]
    dense: bool = False
    stripped: bool = False
    layout: torch.memory_format = torch.contiguous_format
    packages: tuple[str, ...] = ()
    needs_compiler: bool = False

    def missing(self) -> str | None:
        """What has to be installed first; None if nothing."""
        if absent := [name for name in self.packages if find_spec(name) is None]:
            return f"pip install {' '.join(absent)} makes it possible"
        compilers = (os.environ.get("CXX", "g++"), "clang++")
        if self.needs_compiler and not any(shutil.which(name) for name in compilers):
            return "a C++ compiler (g++, or CXX=...) makes it possible"
        return None


def _channels_last(files: ModelFiles, threads: int) -> nn.Module:
    return to_channels_last(copy.deepcopy(files.loaded.network))


def _compiled(files: ModelFiles, threads: int) -> Runner:
    # Frozen weights are folded and packed once. One graph serves all batches of 16 and more, one
    # those between 1 and 16, one a single image: so torch distinguishes them. Their C++ does not
    # depend on the number of threads, and is compiled once.
    options: dict[str, Any] = {"freezing": True, "cpp.dynamic_threads": True}
    return torch.compile(_channels_last(files, threads), dynamic=True, options=options)


def _sparse(files: ModelFiles, threads: int) -> Runner:
    """The sparse runtime, or its regions in a network that it does not know as a whole."""
    # Its compiler takes a second to load, and is not needed for the names of backends.
    from lightprune.sparse.runtime.compiled_module import compile
    from lightprune.sparse.runtime.network import SparseNetwork

    try:
        return SparseNetwork(files.loaded.graph, files.loaded.state, threads)
    except InputError:
        return compile(files.loaded.network, files.loaded.random_images(1), threads=threads)


_EXPORT = ("onnx", "onnxscript")
_ONNX, _OPENVINO, _MNN = (*_EXPORT, "onnxruntime"), (*_EXPORT, "openvino"), (*_EXPORT, "MNN")
_NHWC = torch.channels_last


def _with_stripped(*backends: Backend) -> Iterator[Backend]:
    for backend in backends:
        yield backend
        label = f"{backend.label}, unreachable weights stripped"
        yield replace(backend, name=f"{backend.name}-stripped", label=label, stripped=True)


BACKENDS = (
    *_with_stripped(
        Backend(EAGER, "eager", lambda files, _: files.loaded.network, dense=True),
        Backend("channels-last", "eager, channels_last", _channels_last, dense=True, layout=_NHWC),
        Backend(
            "compile", "torch.compile", _compiled, dense=True, layout=_NHWC, needs_compiler=True
        ),
        Backend(
            ONNX, "ONNX Runtime", lambda f, n: onnx_runtime(f.onnx, n), dense=True, packages=_ONNX
        ),
        Backend(
            "openvino",
            "OpenVINO",
            lambda files, threads: openvino(files.onnx, threads, "f32"),
            dense=True,
            packages=_OPENVINO,
        ),
        Backend(
            "openvino-bf16",
            "OpenVINO, bf16",
            lambda files, threads: openvino(files.onnx, threads, "bf16"),
            packages=_OPENVINO,
        ),
        Backend("mnn", "MNN", lambda f, n: mnn(f.mnn, n), dense=True, packages=_MNN),
        Backend(
            "mnn-sparse", "MNN, sparse kernels", lambda f, n: mnn(f.mnn_sparse, n), packages=_MNN
        ),
    ),
    Backend("csr", "torch CSR", lambda files, _: with_csr_weights(files.loaded.network)),
    Backend(SPARSE, "sparse runtime", _sparse),
)


def select_backends(names: str | None) -> tuple[Backend, ...]:
    """The backends of a comma-separated list, in the order of `BACKENDS`; None selects all.

    Raises:
        InputError: One is not known, or named twice.
    """
    known = [backend.name for backend in BACKENDS]
    selected = known if names is None else split_choices("--backends", names, known)
    return tuple(backend for backend in BACKENDS if backend.name in selected)
