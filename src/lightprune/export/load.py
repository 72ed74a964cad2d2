"""Loads a network from a run, a checkpoint of one, or an exported file."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from lightprune.errors import InputError, first_line
from lightprune.export.sparse_file import read_sparse
from lightprune.files import read_weights
from lightprune.models.from_spec import module_from_spec
from lightprune.models.registry import Constructor
from lightprune.models.spec import NO_ARGUMENTS, ModelSpec
from lightprune.runs.folder import RunFolder
from lightprune.runs.record import RunRecord
from lightprune.sparse.ir.serialize import from_json

SPARSE_SUFFIX = ".sparse.safetensors"
# Of CIFAR-10: where a record lacks the shape of its images, the config states any other size.
_CIFAR10_SIZE = 32


def load(
    path: str | Path, *, as_module: bool = False, constructor: Constructor | None = None
) -> nn.Module:
    """Loads a network in evaluation mode. No code is loaded from the file.

        network = lightprune.load("outputs/runs/example")
        logits = network(torch.zeros(1, 3, 32, 32))

    Args:
        path: The folder of a finished run, its model.safetensors or an exported one, or a
            model.sparse.safetensors.
        as_module: Return an ordinary torch module from a sparse file, too.
        constructor: What builds the module, called with `num_classes` and the arguments it had in
            training; needed where that was neither torchvision's nor lightprune's. Implies
            `as_module`.

    Returns:
        From a sparse file a `SparseNetwork`, which skips the zeros (unless `as_module`);
        otherwise a bare module whose parameters are those of the trained network. Both turn
        normalised images, float32 of shape (N, C, H, W), into logits (N, classes).

    Raises:
        InputError: There is no such network, its run is not finished or damaged, or a file may
            not be read.
    """
    path = Path(path)
    if path.is_dir() or not path.name.endswith(SPARSE_SUFFIX):
        return load_dense(path, constructor)[0]
    stored = read_sparse(path)
    try:
        if as_module or constructor:
            state = {name: torch.from_numpy(array) for name, array in stored.state.items()}
            return module_from_spec(stored.spec, state, constructor)
        graph = from_json(stored.graph)
        if graph.input_shape != stored.spec.input_shape:
            raise InputError("sparse graph: takes images of another size than described")
        # Its compiler takes a second to load, and nothing else needs it.
        from lightprune.sparse.runtime.network import SparseNetwork

        return SparseNetwork(graph, stored.state)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def load_dense(path: Path, constructor: Constructor | None = None) -> tuple[nn.Module, ModelSpec]:
    """Loads a plain network in evaluation mode, and its spec; `constructor` as in `load`.

    `path` is the folder of a finished run, its model.safetensors, or an exported one.

    Raises:
        InputError: As `load`.
    """
    file, description = path, None
    if path.is_dir() or not path.exists():
        file = RunFolder(path).model_file
        description = _described(RunFolder(path))
    elif file.suffix != ".safetensors":
        raise _undescribed(file)
    about, state = _read(file)
    if description is None and "description" in about:
        try:
            description = ModelSpec.from_json(about["description"])
        except ValueError as error:
            raise _damaged(file, error) from error
    if description is None and not RunFolder(file.parent).record_file.exists():
        raise _undescribed(file)
    try:
        network = description or _described(RunFolder(file.parent))
        return module_from_spec(network, state, constructor), network
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def _described(folder: RunFolder) -> ModelSpec:
    record = folder.finished()
    with folder.reading_config():
        return spec_of_run(record)


def spec_of_run(record: RunRecord) -> ModelSpec:
    """The spec of a run's network.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: The record does not hold it.
    """
    constructor, data = record.config["model"]["constructor"], record.config["data"]
    size = data.get("size", _CIFAR10_SIZE)
    square = (len(data["mean"]), size, size)
    fields = {
        "constructor": constructor["_target_"],
        "arguments": {k: v for k, v in constructor.items() if k not in NO_ARGUMENTS},
        "input_shape": record.data.input_shape or square,
        "mean": data["mean"],
        "std": data["std"],
        "classes": record.data.classes,
    }
    return msgspec.convert(fields, ModelSpec)


def _undescribed(file: Path) -> InputError:
    return InputError(
        f"{file}: does not say how its network is built; allowed is a finished run, what "
        "lightprune export wrote, or lightprune export|bench with --constructor NAME --input CxHxW"
    )


def _read(file: Path) -> tuple[Mapping[str, str], dict[str, Tensor]]:
    try:
        return read_weights(file)
    except InputError:
        raise
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> InputError:
    return InputError(
        f"{file}: is damaged ({first_line(error)}); allowed is what a finished run left behind"
    )
