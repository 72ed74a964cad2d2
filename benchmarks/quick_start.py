"""How long README's quick start takes: the demo, then `bench` and `report` on its run.

    python -m benchmarks.quick_start --out results/quick_start.json

With --out, README's quick start names the times (`make results`). Everything is made anew, in an
empty folder. The third command, half an hour of training, follows from benchmarks/throughput.py.
"""

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from lightprune.bench.machine import this_machine
from lightprune.files import write_text
from lightprune.provenance import commit

DEMO = "experiment=demo pruner=global schedule=multi_step schedule.sparsity=0.98 name=demo"
STEPS = {
    "demo": f"train {DEMO}",
    "bench": "bench outputs/runs/demo",
    "report": "report outputs/runs",
}


def seconds_of(arguments, folder):
    """The seconds that a command of lightprune takes in a folder."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "lightprune", *shlex.split(arguments)]
    subprocess.run(command, cwd=folder, check=True)
    return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, help="where README's times are read from (JSON)")
    options = parser.parse_args()
    host = this_machine()
    with TemporaryDirectory() as folder:
        seconds = {name: seconds_of(step, folder) for name, step in STEPS.items()}
    record = {
        "command": shlex.join(["python", "-m", "benchmarks.quick_start", *sys.argv[1:]]),
        "commit": commit(),
        "machine": f"{host.processor}, {host.cores} cores",
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }
    print(json.dumps(record, indent=1))
    if options.out:
        write_text(options.out, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
