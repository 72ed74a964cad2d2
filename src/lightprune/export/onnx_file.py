"""Writes the dense network as one ONNX file, for any runtime."""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from lightprune.errors import InputError, first_line
from lightprune.files import replace_file

PACKAGES = ("onnx", "onnxscript")


def missing_packages() -> list[str]:
    """The optional packages that `write_onnx` needs and that are not installed."""
    return [name for name in PACKAGES if find_spec(name) is None]


def write_onnx(path: Path, network: nn.Module, example: torch.Tensor) -> None:
    """Writes a network whose input `images` and output `logits` have any batch size.

    Args:
        path: The file.
        network: In evaluation mode.
        example: Images of the size the network is used at, shape (N, C, H, W) with N >= 2.

    Raises:
        InputError: The network cannot be expressed in ONNX.
        SaveError: The file cannot be written.
    """
    try:
        program = torch.onnx.export(
            network,
            (example,),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    except Exception as error:  # Code of the network may fail in any way.
        reason = first_line(error)
        raise InputError(
            f"{path}: {type(network).__name__} is not expressible in ONNX ({reason}); allowed is "
            "a network that torch.onnx.export takes"
        ) from error
    assert program is not None
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # Quotes the source, with its path on this machine.
    replace_file(path, lambda partial: program.save(partial, external_data=False))
