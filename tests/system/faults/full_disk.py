"""Fills a real file system under a run, and tells what happened as one line of JSON.

Started in a mount namespace of its own (`unshare -Urm`), where it may mount a small one.
"""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from lightprune.errors import InputError
from lightprune.files import check_room
from lightprune.training.checkpoints import LAST, is_intact
from tests.system.faults.kills import Run


def main(place, data, *overrides):
    """Trains until an epoch of fine-tuning is saved, takes the room away, gives it back."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", place], check=True)
    folder = Path(place)
    shutil.copytree(data, folder / "data")
    run = Run(folder, overrides)
    last = folder / "run" / "checkpoints" / LAST
    while run.running and not last.exists():
        time.sleep(0.002)
    fill(folder / "filler")
    wrong, refused = run.end(60), ""
    try:
        check_room({folder / "run": 1 << 20})
    except InputError as error:
        refused = str(error)
    outcome = {
        "refused": refused,
        "wrong": wrong,
        "status": run.process.returncode,
        "complaint": run.complaint,
        "intact": is_intact(last),
        "partials": [str(file) for file in folder.rglob("*.partial")],
    }
    (folder / "filler").unlink()
    again = Run(folder, overrides)
    outcome["wrong"] += again.end(60)
    print(json.dumps({**outcome, "again": again.lines, "finished": again.process.returncode}))


def fill(file):
    """Takes all room there is."""
    with file.open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(1 << 14))
        except OSError:
            pass


if __name__ == "__main__":
    main(*sys.argv[1:])
