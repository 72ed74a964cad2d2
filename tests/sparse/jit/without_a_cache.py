"""A process that may write nowhere loads a sparse file of a read-only package, and calls it."""

import importlib
import os
import sys
from pathlib import Path

package, file = sys.argv[1:]
sys.path[:0] = [package, str(Path(__file__).parents[3])]
become_nobody = importlib.import_module("tests.permissions").become_nobody
become_nobody()
torch, lightprune = map(importlib.import_module, ("torch", "lightprune"))
assert lightprune.__file__.startswith(package)
with torch.inference_mode():
    print(*lightprune.load(file)(torch.ones(1, 3, 8, 8)).flatten().tolist())
work_sharing = importlib.import_module("lightprune.sparse.runtime.work_sharing")
compiled = importlib.import_module("lightprune.sparse.jit.compile")._compiled_functions
misses = sum(work_sharing.execute.stats.cache_misses.values())
print(misses + sum(not code.cache_hits for code in compiled))
assert not os.path.exists("~")
