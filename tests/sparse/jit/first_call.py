"""A process that calls a network for the first time, and says what it had to compile for that."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from lightprune.sparse.jit import compile as compiled
from lightprune.sparse.runtime import work_sharing as jobs
from tests.sparse.programs import images_for, network_of, residual_program

program = residual_program()
network_of(program, 2)(images_for(program, 3))
dispatchers = [jobs.execute, jobs.worker_loop]
misses = sum(sum(d.stats.cache_misses.values()) for d in dispatchers)
print(
    json.dumps(
        {"misses": misses, "compiled": sum(not c.cache_hits for c in compiled._compiled_functions)}
    )
)
