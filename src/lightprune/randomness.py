"""Random generators that are named by what they draw, and so depend on nothing else."""

import hashlib

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
