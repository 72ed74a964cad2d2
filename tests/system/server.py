"""Runs train.py many times without importing torch as often: one process imports, its forks run.

Reads one JSON line a run (`program`, `folder`, `argv`, `out`, `err`, `environment`), answers with
its exit status.
Nothing parallel happens before a fork, so each fork is an ordinary fresh process.
"""

import json
import os
import runpy
import sys
from pathlib import Path

from hydra import compose, initialize_config_dir

from lightprune.garbage_collector import paused_collector
from lightprune.launch.overrides import CONFIGS
from tests.permissions import obey_permissions
from tests.system.entry import small

with paused_collector():
    import lightprune.launch.hydra_main
    import lightprune.launch.launcher
    from lightprune.cli.main import main as lightprune_main

TRAIN = Path(__file__).parents[2] / "train.py"


def run(request):
    """The fork's whole life."""
    for stream, name in ((1, "out"), (2, "err")):
        file = os.open(request[name], os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(file, stream)
    obey_permissions()
    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    sys.argv = [request["program"], *request["argv"]]
    status = 0
    try:
        if request["program"] == "lightprune":
            sys.exit(lightprune_main())
        runpy.run_path(str(TRAIN), run_name="__main__")
    except SystemExit as end:
        status = end.code or 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main():
    """Answers until its input ends."""
    assert lightprune.launch.hydra_main
    assert lightprune.launch.launcher
    # Parsers and plugins are ready before the forks, too.
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        compose("train", small(), return_hydra_config=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
