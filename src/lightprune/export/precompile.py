"""Compiles what a sparse file's first calls need, ahead of them: when an image is built."""

from pathlib import Path

import torch

from lightprune.errors import InputError
from lightprune.export.load import SPARSE_SUFFIX, load
from lightprune.sparse.ir.graph import INPUT
from lightprune.sparse.isa.register_blocks import LANES
from lightprune.sparse.jit.code_cache import folder_of
from lightprune.sparse.runtime.network import SparseNetwork
from lightprune.sparse.runtime.work_sharing import execute


def warm_up(file: Path) -> str:
    """Calls a network once for one image and once for many; returns where the code is kept.

    Raises:
        InputError: The file holds no network for the sparse runtime, or the code cannot be kept.
    """
    if not file.name.endswith(SPARSE_SUFFIX):
        raise InputError(f"{file}: is no sparse file; allowed is a model{SPARSE_SUFFIX}")
    network = load(file)
    assert isinstance(network, SparseNetwork)
    network.threads = 2
    for images in (1, 2 * LANES):
        network(torch.zeros(images, *network.program.shapes[INPUT]))
    if not (folder := folder_of(execute)):
        raise InputError(
            f"{file}: its compiled code cannot be kept; allowed is NUMBA_CACHE_DIR=DIR, a folder "
            "that you may write to"
        )
    return folder
