"""A process that calls a network, and then in two children at once; says who got the same."""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

import torch

from tests.sparse.programs import images_for, network_of, residual_program

program = residual_program()
network, images = network_of(program, 3), images_for(program, 20)
wanted = network(images)
# As if a thread were preparing it when the process forks.
unprepared = network_of(program, 2)
unprepared._preparing.acquire()


def same():
    """Calls the parent's networks, and one of the process's own."""
    networks = [network, unprepared, network_of(program, 2)]
    return all(torch.equal(n(images[:k]), wanted[:k]) for n in networks for k in (1, 3, 20))


children = []
for _ in range(2):
    child = os.fork()
    if not child:
        os._exit(0 if same() else 1)
    children.append(child)
unprepared._preparing.release()
statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
print(json.dumps({"children": statuses, "parent": same()}))
