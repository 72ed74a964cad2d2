"""Writes the dense network as one ONNX file, for any runtime."""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from lightprune.errors import InputError, first_line
from lightprune.files import replace_file
from lightprune.sparse.frontend.torch_logs import torch_logs_hidden

PACKAGES = ("onnx", "onnxscript")


def missing_packages() -> list[str]:
    """The optional packages that `write_onnx` needs and that are not installed."""
    return [name for name in PACKAGES if find_spec(name) is None]


def write_onnx(
    path: Path, network: nn.Module, example: torch.Tensor, opset: int | None = None
) -> None:
    """Writes a network whose input `images` and output `logits` have any batch size.

    `network` is in evaluation mode; `example` are images of the size it is used at, shape
    (N, C, H, W) with N >= 2. `opset` is the version of ONNX's operators; None is the
    one that torch.onnx writes.

    Raises:
        InputError: The network cannot be expressed in ONNX, or not in that version of its
            operators, or packages are missing.
        SaveError: The file cannot be written.
    """
    if missing := missing_packages():
        raise InputError(f"pip install {' '.join(missing)} makes it possible")
    try:
        with torch_logs_hidden():
            program = torch.onnx.export(
                network,
                (example,),
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=opset,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # Code of the network may fail in any way.
        cause: BaseException = error  # The last of the chain names what torch.onnx does not know.
        while cause.__cause__:
            cause = cause.__cause__
        raise InputError(
            f"{type(network).__name__} is not expressible in ONNX ({first_line(cause)}); allowed "
            "is a network that torch.onnx.export takes"
        ) from error
    assert program is not None
    # Torch falls back on its own version, and only logs it.
    if opset not in (None, written := program.model.opset_imports[""]):
        raise InputError(f"--opset={opset}: torch.onnx cannot write it; allowed is {written}")
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # Quotes the source, with its path on this machine.
    replace_file(path, lambda partial: program.save(partial, external_data=False))
