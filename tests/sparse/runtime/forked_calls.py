"""Calls a network in a process, then in two children at once; prints who got the same outputs."""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

import torch
from torch import nn

from lightprune import sparse
from lightprune.sparse.runtime import compiled_module
from tests.sparse.programs import images_for, network_of, residual_program

program = residual_program()
network, images = network_of(program, 3), images_for(program, 20)
expected = network(images)
# As if a thread were compiling it when the process forks.
uncompiled = network_of(program, 2)
uncompiled._compile_lock.acquire()
module, larger = nn.Conv2d(3, 4, 3), torch.randn(1, 3, 9, 9)
# One thread: OpenMP's others do not survive a fork.
torch.set_num_threads(1)
compiled = sparse.compile(module, larger[..., :8], min_speedup=0)


def same():
    """Calls the parent's networks, and one of the process's own."""
    if not torch.allclose(compiled(larger), module(larger), atol=1e-5):
        return False
    networks = [network, uncompiled, network_of(program, 2)]
    return all(torch.equal(n(images[:k]), expected[:k]) for n in networks for k in (1, 3, 20))


children = []
compiled_module._compiling.acquire()
for _ in range(2):
    child = os.fork()
    if not child:
        os._exit(0 if same() else 1)
    children.append(child)
uncompiled._compile_lock.release()
compiled_module._compiling.release()
statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
print(json.dumps({"children": statuses, "parent": same()}))
