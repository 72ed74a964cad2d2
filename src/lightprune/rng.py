"""Random generators that are named by what they draw, and so depend on nothing else."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def named_generator(*name: int | str) -> torch.Generator:
    """A CPU generator whose draws depend on `name` alone.

    torch's CPU generator uses the low 32 bits of its seed only, so the parts of the name are
    hashed together instead of being shifted beside each other.
    """
    return torch.Generator("cpu").manual_seed(named_seed(*name))


def named_seed(*name: int | str) -> int:
    """A seed of 32 bits that depends on `name` alone."""
    return int.from_bytes(hashlib.blake2b(repr(name).encode(), digest_size=4).digest(), "big")


@contextmanager
def fork_named_rng(*name: int | str) -> Iterator[None]:
    """Makes what torch draws until the block ends depend on `name` alone.

    Afterwards its streams, of the CPU and of the GPU in use, go on as if nothing had been drawn.
    """
    used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    gpus = [torch.cuda.current_device()] if used else []
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(named_seed(*name))
        yield
