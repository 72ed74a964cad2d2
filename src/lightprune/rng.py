"""Random generators seeded by a key of plain values: what they draw depends on nothing else."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def named_generator(*name: int | str) -> torch.Generator:
    """A CPU generator whose draws depend on the key `name` alone.

    torch's CPU generator uses the low 32 bits of its seed only, so the parts of the name are
    hashed together instead of being shifted beside each other.
    """
    return torch.Generator("cpu").manual_seed(named_seed(*name))


def named_seed(*name: int | str) -> int:
    """A seed of 32 bits that depends on the key `name` alone."""
    return int.from_bytes(hashlib.blake2b(repr(name).encode(), digest_size=4).digest(), "big")


@contextmanager
def fork_rng(seed: int) -> Iterator[None]:
    """Seeds the global generators of Python, NumPy and torch for a block, then restores them.

    torch's are the CPU's and, if CUDA is in use, the current device's.
    """
    on_gpu = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    gpus = [torch.cuda.current_device()] if on_gpu else []
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=gpus):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


@contextmanager
def fork_named_rng(*name: int | str) -> Iterator[None]:
    """Seeds the global generators by the key `name` for a block, then restores them."""
    with fork_rng(named_seed(*name)):
        yield
