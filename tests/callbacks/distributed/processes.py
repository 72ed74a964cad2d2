"""Work in two processes of one gloo group, in the environment that torchrun gives."""

import os

import torch
import torch.multiprocessing
from torch import distributed


def in_two_processes(folder, work):
    """What `work(rank, folder)`, a function of a module, returns on rank 0 and rank 1."""
    torch.multiprocessing.spawn(_process, (folder, work), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def _process(rank, folder, work):
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        GROUP_RANK="0",
        WORLD_SIZE="2",
        LOCAL_WORLD_SIZE="2",
        MASTER_ADDR="localhost",
        MASTER_PORT="0",
        TORCHELASTIC_RUN_ID="test",
    )
    torch.set_num_threads(1)
    meeting = f"file://{folder / 'meeting'}"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    torch.save(work(rank, folder), folder / f"{rank}.pt")
    distributed.destroy_process_group()
