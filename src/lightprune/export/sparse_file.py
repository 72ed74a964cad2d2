"""The sparse file: every weight without its zeros, under a checksum; written and read."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from lightprune.errors import InputError, check_choice, first_line
from lightprune.export.compression import (
    compress,
    decode_positions,
    decode_values,
    decompress,
    encode_positions,
    encode_values,
)
from lightprune.export.reduced_precision import from_int8, is_weight, to_fp16, to_int8
from lightprune.export.tensor_table import DTYPES, TensorEntry, read_table, write_table
from lightprune.files import check_readable, write_weights
from lightprune.models.spec import ModelSpec

FORMAT = "lightprune-sparse"
VERSIONS = {"fp32": "1", "fp16": "1", "int8": "2"}
"""The version of a file by how it stores weights: readers of version 1 know no scales."""
VALUES = tuple(VERSIONS)
Arrays = dict[str, np.ndarray]

_LARGEST_TEXT = 2**24


@dataclass(frozen=True)
class StoredNetwork:
    """The content of a sparse file.

    Attributes:
        graph: Its operations, as JSON.
        state: Its state dict: every parameter and buffer, zeros in place.
        rounded_to: `float16` or `int8` if its file holds float32 weights in these; None if not.
    """

    spec: ModelSpec
    graph: str
    state: Mapping[str, np.ndarray]
    rounded_to: str | None = None


def write_sparse(path: Path, network: StoredNetwork, values: str = "fp32") -> None:
    """Writes a network without its zeros, losslessly if `values` is `fp32`.

    `fp16` and `int8` store the float32 weights of two and more axes in fewer bits, int8 with one
    scale an index of the first axis; biases and batch norms, which are few, stay as they are.

    Raises:
        InputError: A tensor is of a dtype the format lacks, too large, or holds what the fewer bits
            cannot.
        SaveError: The file cannot be written.
    """
    check_choice("values", values, VALUES)
    entries: list[TensorEntry] = []
    parts: dict[str, list[np.ndarray]] = {}
    positions, start, scales = [np.zeros(0, np.int64)], 0, []
    for name, tensor in network.state.items():
        stored = np.ascontiguousarray(tensor)
        if values == "fp16" and is_weight(stored):
            stored = to_fp16(name, stored)
        elif values == "int8" and is_weight(stored):
            stored, scale = to_int8(name, stored)
            scales.append(scale)
        dtype, flat = stored.dtype.name, stored.reshape(-1)
        if dtype not in DTYPES:
            raise InputError(f"{name}: is of {dtype}; allowed in a file are {', '.join(DTYPES)}")
        # Compared by bits: -0.0 is not zero.
        nonzero = np.flatnonzero(flat.view(f"u{flat.itemsize}"))
        sparse = len(nonzero) * (flat.itemsize + 1) + flat.size // 255 < flat.nbytes
        if sparse:
            positions.append(nonzero + start)
            start += flat.size
        count = len(nonzero) if sparse else None
        entries.append(TensorEntry(name, tensor.dtype.name, dtype, tensor.shape, count))
        parts.setdefault(dtype, []).append(flat[nonzero] if sparse else flat)
    table = write_table(entries)
    try:
        read_table(table)
    except ValueError as error:
        raise InputError(f"{path}: {error}; allowed is a network that is smaller") from error
    packed = {
        "graph": compress(network.graph.encode()),
        "tensors": compress(table),
        "positions": encode_positions(np.concatenate(positions)),
        **{f"values.{dtype}": encode_values(np.concatenate(v)) for dtype, v in parts.items()},
    }
    if scales:
        packed["scales"] = encode_values(np.concatenate(scales))
    arrays = {name: np.frombuffer(part, np.uint8) for name, part in packed.items()}
    about = {"format": FORMAT, "version": VERSIONS[values], "description": network.spec.to_json()}
    about["sha256"] = _digest(about, arrays)
    write_weights(path, {n: torch.from_numpy(a.copy()) for n, a in arrays.items()}, about)


def read_sparse(path: Path) -> StoredNetwork:
    """Reads what `write_sparse` wrote, bit for bit; weights in fewer bits come back as float32.

    Raises:
        InputError: The file is not there, may not be read, is of another format or version, or
            damaged.
    """
    check_readable(path)
    try:
        with safe_open(path, framework="np") as file:
            about, names = file.metadata() or {}, file.keys()
            arrays = {name: file.get_tensor(name) for name in names}
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no such file; allowed is what lightprune export wrote"
        ) from error
    except Exception as error:  # Damaged bytes make the reader fail in every way.
        raise _damaged(path, error) from error
    if about.get("format") != FORMAT or about.get("version") not in VERSIONS.values():
        raise InputError(
            f"{path}: is of format {about.get('format')}, version {about.get('version')}; allowed "
            f"is {FORMAT}, version {' or '.join(sorted({*VERSIONS.values()}))} (lightprune export "
            "writes it)"
        )
    try:
        return _decode(about, arrays)
    except (ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def _decode(about: dict[str, str], arrays: Arrays) -> StoredNetwork:
    """Raises ValueError or KeyError unless everything fits together."""
    expected = about.pop("sha256")
    if not all(array.dtype == np.uint8 and array.ndim == 1 for array in arrays.values()):
        raise ValueError("its arrays are not flat bytes")
    if _digest(about, arrays) != expected:
        raise ValueError("its checksum is wrong")
    packed = {name: array.tobytes() for name, array in arrays.items()}
    spec = ModelSpec.from_json(about["description"])
    graph = decompress(packed.pop("graph"), _LARGEST_TEXT).decode()
    entries = read_table(decompress(packed.pop("tensors"), _LARGEST_TEXT))
    positions = _positions(packed.pop("positions"), [e for e in entries if e.kept is not None])
    state: Arrays = {}
    for dtype in sorted({entry.stored for entry in entries}):
        same_dtype = [entry for entry in entries if entry.stored == dtype]
        counts = [entry.values for entry in same_dtype]
        values = decode_values(packed.pop(f"values.{dtype}"), sum(counts), DTYPES[dtype])
        for entry, part in zip(same_dtype, np.split(values, np.cumsum(counts)[:-1]), strict=True):
            restored = DTYPES[entry.stored if entry.is_scaled else entry.dtype]
            if entry.kept is None:
                full = part.astype(restored)
            else:
                full = np.zeros(entry.size, restored)
                full[positions[entry.name]] = part
            state[entry.name] = full.reshape(entry.shape)
    if scaled := [entry for entry in entries if entry.is_scaled]:
        counts = [entry.shape[0] for entry in scaled]
        joined = decode_values(packed.pop("scales"), sum(counts), DTYPES["float32"])
        scales = np.split(joined, np.cumsum(counts)[:-1])
        for entry, scale in zip(scaled, scales, strict=True):
            state[entry.name] = from_int8(state[entry.name], scale)
    if packed:
        raise ValueError(f"it holds {min(packed)} as well")
    ordered = {entry.name: state[entry.name] for entry in entries}
    rounded = (entry.stored for entry in entries if entry.stored != entry.dtype)
    return StoredNetwork(spec, graph, ordered, next(rounded, None))


def _positions(packed: bytes, sparse: list[TensorEntry]) -> dict[str, np.ndarray]:
    """Where in each flat tensor its values are; ValueError if it has more or fewer."""
    starts = np.cumsum([0, *(entry.size for entry in sparse)])
    joined = decode_positions(packed, sum(entry.values for entry in sparse), int(starts[-1]))
    positions = {}
    bounds = np.searchsorted(joined, starts)
    for entry, start, low, high in zip(sparse, starts, bounds, bounds[1:], strict=False):
        if high - low != entry.kept:
            raise ValueError(f"{entry.name} has {high - low} positions and {entry.kept} values")
        positions[entry.name] = joined[low:high] - start
    return positions


def _digest(about: Mapping[str, str], arrays: Arrays) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.size} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _damaged(path: Path, error: Exception) -> InputError:
    missing = f"lacks {error}" if isinstance(error, KeyError) else ""
    reason = missing or first_line(error)
    return InputError(
        f"{path}: is damaged ({reason}); allowed is an intact file (lightprune export writes one)"
    )
