"""The weights in a file of `torch.export.save`: raw bytes and their table, without running code."""

import json
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import torch
from torch import Tensor

_TABLE = "/data/weights/model_weights_config.json"
# The numbers of PyTorch's serialized schema (torch/_export/serde/schema.py, `ScalarType`).
_DTYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}


def read_pt2(file: Path) -> dict[str, Tensor]:
    """The parameters and persistent buffers of the exported module, by name.

    The program and the example inputs are not read: `torch.export.load` may run code from them.

    Raises:
        ValueError: The file holds no such weights, or pickled ones.
    """
    with ZipFile(file) as archive:
        tables = [name for name in archive.namelist() if name.endswith(_TABLE)]
        if len(tables) != 1:
            raise ValueError("it holds no weights of torch.export.save, as of PyTorch 2.8 or later")
        folder = tables[0].rpartition("/")[0]
        config = json.loads(archive.read(tables[0]))["config"]
        return {name: _tensor(archive, folder, name, entry) for name, entry in config.items()}


def _tensor(archive: ZipFile, folder: str, name: str, entry: dict[str, Any]) -> Tensor:
    try:
        meta = entry["tensor_meta"]
        info = archive.getinfo(f"{folder}/{entry['path_name']}")
        if entry["use_pickle"] or info.compress_type != ZIP_STORED:
            raise ValueError("it is pickled or compressed")
        values = torch.frombuffer(bytearray(archive.read(info)), dtype=_DTYPES[meta["dtype"]])
        sizes, strides = ([n["as_int"] for n in meta[key]] for key in ("sizes", "strides"))
        # A stride of 0 could claim more than all memory.
        if torch.Size(sizes).numel() > len(values):
            raise ValueError("it is shorter than its shape")
        offset = meta["storage_offset"]["as_int"]
        return values.as_strided(sizes, strides, offset).contiguous()
    except (KeyError, TypeError, AttributeError, RuntimeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error
