"""How long README's quick start takes: the demo, then `bench` and `report` on its run.

    python -m benchmarks.quick_start --out results/quick_start.json

With --out, README's quick start names the times (`make results`). The fourth command, the training
on CIFAR-10, follows from benchmarks/throughput.py.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from lightprune.bench.machine import this_machine
from lightprune.files import write_text
from lightprune.provenance import commit
from lightprune.runs.folder import RunFolder

DEMO = "train experiment=demo pruner=global schedule=multi_step schedule.sparsity=0.98 name=demo"
RUN = "outputs/runs/demo"
BENCH = f"bench {RUN} --batches 1,64 --backends eager,onnx,sparse"


def run(arguments: str, folder: str) -> float:
    """The seconds that a command of lightprune takes in a folder."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "lightprune", *shlex.split(arguments)]
    subprocess.run(command, cwd=folder, check=True)
    return time.perf_counter() - begin


def trained(demo: Path, folder: str) -> float:
    """The seconds of a demo that finished before, whose run is put where it would lie."""
    shutil.copytree(demo, Path(folder, RUN))
    spent = RunFolder(demo).finished().seconds
    return spent.dense + spent.finetune


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--demo", type=Path, help="a run of the demo: its record has its seconds")
    parser.add_argument("--out", type=Path, help="where README's times are read from (JSON)")
    options = parser.parse_args()
    host, busy = this_machine(), os.getloadavg()[0] > 1
    with TemporaryDirectory() as folder:
        seconds = {
            "demo": trained(options.demo, folder) if options.demo else run(DEMO, folder),
            "bench": run(BENCH, folder),
            "report": run("report outputs/runs", folder),
        }
    record = {
        "command": shlex.join(["python", "-m", "benchmarks.quick_start", *sys.argv[1:]]),
        "commit": commit(),
        "machine": f"{host.processor}, {host.cores} cores{', beside other work' * busy}",
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }
    if options.out:
        write_text(options.out, json.dumps(record, indent=1) + "\n")
    else:
        print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
