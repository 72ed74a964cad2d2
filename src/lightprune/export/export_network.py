"""Exports a network as small, portable files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lightprune.errors import InputError, check_choice, check_folder, check_number, first_line
from lightprune.export.load import SPARSE_SUFFIX
from lightprune.export.loaded_network import LoadedNetwork, load_network
from lightprune.export.onnx_file import write_onnx
from lightprune.export.sparse_file import VALUES, StoredNetwork, write_sparse
from lightprune.export.strip_unreachable import strip_unreachable
from lightprune.files import write_weights
from lightprune.models.registry import Constructor
from lightprune.runs.folder import RunFolder
from lightprune.sparse.ir.serialize import to_json

FORMATS = {
    "safetensors": ".safetensors",
    "sparse": SPARSE_SUFFIX,
    "onnx": ".onnx",
    "torch-prune": ".prune.safetensors",
}
"""What a file's name ends in, by its format: the plain state dict; the one without zeros; the dense
network without its unreachable weights; what torch.nn.utils.prune would save."""


@dataclass(frozen=True)
class ExportConfig:
    """What to write.

    Attributes:
        formats: Some of `FORMATS`.
        values: How the sparse file stores weights, see `write_sparse`.
        opset: The version of ONNX's operators; None is the one that torch.onnx writes.

    Raises:
        InputError: A value is not allowed, or is of a format that is not written.
    """

    formats: Sequence[str] = ("safetensors", "sparse", "onnx")
    values: str = "fp32"
    opset: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.formats, str) or not self.formats:
            raise InputError(f"--formats={self.formats}: allowed is a list of {', '.join(FORMATS)}")
        for format in self.formats:
            check_choice("--formats", format, FORMATS)
        check_choice("--values", self.values, VALUES)
        if self.opset is not None:
            check_number("--opset", self.opset, 1, whole=True)
        for option, format, is_set in (
            ("--values", "sparse", self.values != "fp32"),
            ("--opset", "onnx", self.opset is not None),
        ):
            if is_set and format not in self.formats:
                raise InputError(
                    f"{option}: changes {format} only, which --formats="
                    f"{','.join(self.formats)} leaves out; allowed is --formats {format}"
                )


def export_run(
    run: Path,
    to: Path | None = None,
    config: ExportConfig = ExportConfig(),
    *,
    constructor: Constructor | None = None,
) -> list[str]:
    """Writes the network of a finished run in every format that it can be written in.

        for line in lightprune.export_run(Path("outputs/runs/example")):
            print(line)
        fast = lightprune.load("outputs/runs/example/export/model.sparse.safetensors")

    Args:
        run: Its folder.
        to: The folder to write; None is RUN/export.
        config: What to write.
        constructor: What builds the network if it is neither torchvision's nor lightprune's.

    Returns:
        A line for each file: its path and size, or why it was skipped.

    Raises:
        InputError: The run is not finished or damaged, or no file can be written.
    """
    return export_network(load_network(run, constructor), to, config)


def export_network(
    network: LoadedNetwork, to: Path | None = None, config: ExportConfig = ExportConfig()
) -> list[str]:
    """Writes a network in every format that it can be written in.

    The folder to write, `to`, is by default `export` in the folder that it was read from.

    Returns:
        A line for each file: its path and size, or why it was skipped.

    Raises:
        InputError: No file can be written.
    """
    path, module, spec = network.path, network.network, network.spec
    folder = to or RunFolder(path if path.is_dir() else path.parent).export
    check_folder("--to", str(folder))
    state = module.state_dict()

    def sparse(file: Path) -> None:
        stored = StoredNetwork(spec, to_json(network.graph), network.state)
        write_sparse(file, stored, config.values)

    def onnx(file: Path) -> None:
        example = torch.zeros(2, *spec.input_shape)
        write_onnx(file, strip_unreachable(module, example), example, config.opset)

    def masked(file: Path) -> None:
        write_weights(file, torch_prune_state(state, network.pruned))

    writers = {
        "safetensors": lambda file: write_weights(file, state, {"description": spec.to_json()}),
        "sparse": sparse,
        "onnx": onnx,
        "torch-prune": masked,
    }
    lines, written = [], 0
    for format in config.formats:
        file = folder / f"model{FORMATS[format]}"
        try:
            writers[format](file)
            lines.append(f"{file}: {file.stat().st_size / 1e6:.2f} MB")
            written += 1
        except Exception as error:  # Exporters and the network's own code may fail in any way.
            reason = first_line(error).removeprefix(f"{file}: ")
            older = " (an earlier export's stays)" if file.is_file() else ""
            lines.append(f"{file}: skipped{older}; {reason}")
    if not written:
        raise InputError("; ".join(lines))
    return lines


def torch_prune_state(state: Mapping[str, Tensor], pruned: Iterable[str]) -> dict[str, Tensor]:
    """A state dict as torch.nn.utils.prune saves it, of a plain one with its zeros in place.

    For each NAME in `pruned` it has `NAME_orig`, the weights, and `NAME_mask`, 1 where they are not
    zero, in place of `NAME`; the others as they are.
    """
    names = set(pruned)
    pruned_state = {}
    for name, tensor in state.items():
        if name in names:
            pruned_state[f"{name}_orig"] = tensor
            pruned_state[f"{name}_mask"] = (tensor != 0).to(tensor.dtype)
        else:
            pruned_state[name] = tensor
    return pruned_state
