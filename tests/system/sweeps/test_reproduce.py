"""`make reproduce` in a checkout of its own, killed with all its processes and started again."""

import os
import signal
import subprocess
import time
from contextlib import suppress

import pytest

from tests.system.entry import ROOT, environment

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not (ROOT / ".venv/bin/python").exists(), reason="make setup has not run"),
]
REPRODUCE = [
    "make",
    "--old-file=.venv/.ready",
    "reproduce",
    "RECIPE=smoke",
    "DATA=digits",
    "EXPERIMENTS=global_98_*",
]


@pytest.fixture
def checkout(tmp_path):
    """What make needs, and room for outputs."""
    project = ("pyproject.toml", "constraints.txt")
    for name in ("Makefile", "train.py", "configs", "src", "study", ".venv", *project):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def written(checkout):
    """When each finished run, and the dense network, was written."""
    outputs = checkout / "outputs"
    files = (*outputs.rglob("run.json"), *outputs.rglob("dense.json"))
    return {str(file): file.stat().st_mtime_ns for file in files}


def test_what_was_finished_before_a_kill_is_not_done_again(checkout):
    options = {"cwd": checkout, "env": environment(), "text": True}
    with open(checkout / "first.log", "w") as log:
        first = subprocess.Popen(
            REPRODUCE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, **options
        )
        try:
            deadline = time.monotonic() + 240
            while len(finished := written(checkout)) < 2:
                assert first.poll() is None, (checkout / "first.log").read_text()
                assert time.monotonic() < deadline, (checkout / "first.log").read_text()
                time.sleep(0.05)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(first.pid, signal.SIGKILL)
            first.wait()
    second = subprocess.run(REPRODUCE, capture_output=True, timeout=240, check=False, **options)
    now = written(checkout)

    assert second.returncode == 0, second.stderr[-2000:]
    assert len(finished) == 2
    assert {file: now[file] for file in finished} == finished
    assert len(now) == 3
    assert "1 of 2 " in second.stdout
    assert "dense epoch" not in second.stdout
    assert (checkout / "outputs/sweeps/reference-smoke/report/report.html").exists()
