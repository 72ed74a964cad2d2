"""Random generators seeded by a key of plain values: what they draw depends on nothing else."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

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
def fork_named_rng(*name: int | str) -> Iterator[None]:
    """Seeds torch's global generators by the key `name` for a block, then restores them.

    These are the CPU's and, if CUDA is in use, the current device's.
    """
    on_gpu = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    gpus = [torch.cuda.current_device()] if on_gpu else []
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(named_seed(*name))
        yield
