"""Other inference runtimes that execute an ONNX file: ONNX Runtime, OpenVINO and MNN."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightprune.errors import InputError

# MNN's own command would send statistics of its use, and install what it needs for that.
_CONVERT_TO_MNN = "import sys, _tools; sys.exit(not _tools.mnnconvert(sys.argv))"


def onnx_runtime(file: Path, threads: int) -> Callable[[Tensor], Tensor]:
    """Returns what runs an ONNX file in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])

    return run


def openvino(file: Path, threads: int, precision: str) -> Callable[[Tensor], Tensor]:
    """Returns what runs an ONNX file in OpenVINO, compiled for each batch size at its first call.

    `precision` is `f32` or `bf16`; without one, OpenVINO takes bf16 where the processor has it.

    Raises:
        InputError: The processor does not compute in that precision.
    """
    from openvino import Core

    core = Core()
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise InputError("this processor has no bf16 instructions")
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled: dict[torch.Size, Any] = {}

    def run(images: Tensor) -> Tensor:
        if (network := compiled.get(images.shape)) is None:
            model = core.read_model(file)
            model.reshape(list(images.shape))
            network = compiled[images.shape] = core.compile_model(model, "CPU", settings)
        return torch.from_numpy(network(images.numpy())[0].copy())

    return run


def convert_to_mnn(onnx: Path, file: Path, sparse: bool) -> None:
    """Converts an ONNX file; `sparse` lets MNN choose its sparse kernels where they help.

    Raises:
        InputError: MNN cannot convert it.
    """
    paths = ["--modelFile", str(onnx), "--MNNModel", str(file), "--bizCode", "MNN"]
    command = [sys.executable, "-c", _CONVERT_TO_MNN, "-f", "ONNX", *paths]
    done = subprocess.run(
        [*command, *(["--detectSparseSpeedUp"] if sparse else [])], capture_output=True, text=True
    )
    if done.returncode or not file.exists():
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise InputError(f"MNN cannot convert it: {lines[-1] if lines else 'no reason is given'}")


def mnn(file: Path, threads: int) -> Callable[[Tensor], Tensor]:
    """Returns what runs an MNN file in float32."""
    with _printing_nothing():
        import MNN

        settings = {"backend": "CPU", "numThread": threads, "precision": "high"}
        manager = MNN.nn.create_runtime_manager((settings,))
        network = MNN.nn.load_module_from_file(
            str(file), ["images"], ["logits"], runtime_manager=manager
        )
    order = MNN.expr.NCHW

    def run(images: Tensor) -> Tensor:
        variable = MNN.expr.const(images.numpy(), list(images.shape), order)
        return torch.from_numpy(MNN.expr.convert(network.forward(variable), order).read().copy())

    return run


@contextmanager
def _printing_nothing() -> Iterator[None]:
    """Drops what C++ code prints: Python's own redirection does not reach it."""
    sys.stdout.flush()
    stdout = os.dup(1)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
