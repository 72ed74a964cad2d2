"""Calls a network over and over until its input ends; prints whether all outputs were the same."""

import select
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

import torch

from lightprune.sparse.runtime import thread_choice
from tests.sparse.programs import images_for, network_of, residual_program

thread_choice._CALLS_PER_TURN = 0  # Every call uses all its threads, not as many as were fastest.
program = residual_program()
network, images = network_of(program, 3), images_for(program, 40)
expected = network_of(program)(images)
network(images)
print("ready", flush=True)
same = True
while not select.select([sys.stdin], [], [], 0)[0]:
    # One image is shared by all threads; of many each takes some.
    same = same and all(torch.equal(network(images[:k]), expected[:k]) for k in (1, 40))
print(same)
