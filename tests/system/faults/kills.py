"""Kills real training runs at random moments, continues them, and compares what they end with.

    python -m tests.system.faults.kills --kills 60 --seed 0

Each victim trains a small network from nothing through both phases. It is killed several times,
while lines come or while a checkpoint is being written, by SIGKILL (of the program, of torchrun or
of one rank) or by a signal that asks; then it runs to its end. What it leaves must equal, to the
bit, what a run that nobody touched leaves.
"""

import argparse
import itertools
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import torch

from lightprune.training.checkpoints import LAST, is_intact
from tests.system.entry import small, start
from tests.system.run_digests import run_digests

SCHEDULES = {
    "one_shot": ("schedule=one_shot",),
    "multi_step": ("schedule=multi_step", "schedule.steps=2"),
    "cubic": ("schedule=cubic", "schedule.span=0.75"),
    "constant": ("schedule=constant", "recipe.finetune.restart=never"),
    # Of more and shorter steps, so that it is killed within epochs.
    "cubic in steps": (
        "schedule=cubic",
        "schedule.every_n_steps=10",
        "recipe.finetune.batch_size=8",
        "recipe.finetune.epochs=2",
    ),
    "until": (
        "schedule=until",
        "schedule.drop=5",
        "schedule.step=0.5",
        "recipe.dense.epochs=4",
    ),
}
PRUNER_SETTINGS = {
    "defaults": (),
    "movement, rewound": (
        "pruner/criterion=movement",
        "schedule.start=1",
        "pruner.weights=rewind",
        "dense.rewind_epoch=1",
        "recipe.finetune.learning_rate.shape=rewind",
        "recipe.finetune.recalibrate=2",
    ),
    "taylor, regrown": (
        "pruner/criterion=taylor",
        "pruner.criterion.batches=2",
        "pruner.criterion.rounds=2",
        "pruner/regrowth=gradient",
    ),
    "lamp, unreachable first, floor": (
        "pruner/criterion=lamp",
        "pruner.unreachable=first",
        "pruner.floor=0.01",
    ),
    "per MAC, ERK, shuffled": (
        "pruner/criterion=magnitude_per_mac",
        "pruner.scope=erk",
        "pruner.weights=shuffle",
    ),
    "random, uniform+, regrown at random": (
        "pruner/criterion=random",
        "pruner.scope=uniform_plus",
        "pruner/regrowth=random",
        "schedule.sparsity=0.8",
    ),
    "taught, born again, averaged, not validated": (
        "recipe.dense.distillation.weight=0.5",
        "recipe.dense.ema_decay=0.8",
        "recipe.finetune.distillation={weight: 0.5, temperature: 2}",
        "recipe.finetune.ema_decay=0.9",
        "recipe.dense.augmentation={rotation: 20, zoom: 0.2, color: 0.3}",
        "recipe.finetune.augmentation={rotation: 20, zoom: 0.2, color: 0.3, cutmix: 0.5}",
        "data.validation=none",
    ),
    "2:4": ("pruner.pattern='2:4'", "schedule.sparsity=0.5"),
    "snip, untrained": ("pruner/criterion=snip", "recipe.dense.epochs=0"),
    "synflow, untrained, re-initialised": (
        "pruner/criterion=synflow",
        "pruner.criterion.rounds=5",
        "pruner.weights=reinitialise",
        "recipe.dense.epochs=0",
    ),
}
ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
PROGRESS = re.compile(r"(dense epoch|finetune epoch|pruned before (?:epoch|step)) (\d+)(?:/(\d+))?")
# In seconds: how long a run may take to end after a signal, and to end on its own.
STOPS_WITHIN, ENDS_WITHIN = 10, 240
# torchrun gives the ranks beside a dead one half a minute.
TORCHRUN_STOPS_WITHIN = 40
# Epochs of a phase that has ended: more than any has.
ENDED = 1000


@dataclass(frozen=True)
class Configuration:
    """The settings of one victim."""

    schedule: str
    pruner: str
    processes: int
    pruner_settings: str = "defaults"

    @property
    def overrides(self):
        return small(
            f"pruner={self.pruner}",
            *SCHEDULES[self.schedule],
            "schedule.sparsity=0.9",
            *PRUNER_SETTINGS[self.pruner_settings],
            *(("trainer=ddp_cpu",) if self.processes == 2 else ("trainer=cpu",)),
        )


CONFIGURATIONS = [
    *(
        Configuration(*kind)
        for kind in itertools.product(
            ("one_shot", "multi_step", "cubic"), ("global", "local"), (1, 2)
        )
    ),
    *(
        Configuration(schedule, pruner, processes)
        for schedule, pruner in (
            ("constant", "rigl"),
            ("cubic in steps", "global"),
            ("until", "global"),
        )
        for processes in (1, 2)
    ),
    *(
        Configuration(*kind)
        for kind in itertools.product(("multi_step",), ("global",), (1, 2), PRUNER_SETTINGS)
    ),
]


@dataclass
class Kill:
    """Where a kill hit, how, and what was wrong with the way the run ended."""

    how: str
    where: str
    wrong: list = field(default_factory=list)


class Run:
    """A running train.py: its lines as they come, and the processes that belong to it."""

    def __init__(self, folder, overrides):
        self.folder, self.lines = folder, []
        self.process = start(folder, *overrides)
        self.readers = [Thread(target=self._read, daemon=True), Thread(target=self._complain)]
        self.complaint = ""
        for reader in self.readers:
            reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def _complain(self):
        self.complaint = self.process.stderr.read()

    @property
    def progress(self):
        return [line for line in self.lines if PROGRESS.match(line)]

    @property
    def running(self):
        return self.process.poll() is None

    def writing(self):
        """Whether a checkpoint is being written right now."""
        return any(self.folder.glob("dense/*/checkpoints/.*.partial")) or any(
            self.folder.glob("run/checkpoints/.*.partial")
        )

    def children(self):
        """Process ids of torchrun and of the ranks that this run has started."""
        mark = f"LIGHTPRUNE_LAUNCHER_PID={self.process.pid}\0".encode()
        processes = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if mark in (entry / "environ").read_bytes():
                        processes[int(entry.name)] = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
        agents = [pid for pid, line in processes.items() if b"lightprune.launch.torchrun" in line]
        return agents, [pid for pid in processes if pid not in agents]

    def end(self, limit):
        """Waits for the end of all processes; what has not ended in time is named."""
        wrong, deadline = [], time.monotonic() + limit
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            wrong.append(f"not ended after {limit} s")
            self.process.kill()
        while any(self.children()):
            if time.monotonic() > deadline:
                wrong.append("processes left")
                for pid in itertools.chain(*self.children()):
                    os.kill(pid, signal.SIGKILL)
                break
            time.sleep(0.1)
        for reader in self.readers:
            reader.join(10)
        return wrong


def kill(run, chance):
    """Waits for a random moment and kills; None if the run ended first."""
    if not reached(run, chance):
        run.end(ENDS_WITHIN)
        return None
    where = run.progress[-1:] or ["start"]
    agents, ranks = run.children()
    victims = {"program": [run.process.pid], "torchrun": agents, "rank": ranks}
    number = chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, *ASKING))
    kinds = [kind for kind, pids in victims.items() if pids]
    kind = chance.choice(kinds) if number == signal.SIGKILL else "program"
    partial = " while a checkpoint is written" if run.writing() else ""
    try:
        os.kill(chance.choice(victims[kind]), number)
    except ProcessLookupError:
        run.end(ENDS_WITHIN)
        return None
    done = Kill(f"{number.name} of the {kind}", re.split(r"  |:", where[0])[0] + partial)
    done.wrong = run.end(STOPS_WITHIN if number in ASKING else TORCHRUN_STOPS_WITHIN)
    # Python itself ends by the signal while it still imports.
    clean = {128 + number} | ({-number, 1} if not run.lines else set())
    if kind != "program":
        clean = {1}
    elif number == signal.SIGKILL:
        clean = {-number}
    if run.process.returncode not in clean:
        if (run.folder / "run" / "run.json").exists():
            return None
        done.wrong.append(f"exit status {run.process.returncode}: {run.complaint[-300:]}")
    for file in run.folder.rglob("*.ckpt"):
        if not is_intact(file):
            done.wrong.append(f"{file.name} is not intact")
    return done


def reached(run, chance):
    """Waits for a random line and a moment more, or for a checkpoint; False if the run ended."""
    wanted, delay = chance.randint(0, 3), chance.uniform(0, 0.6)
    at_write = chance.random() < 0.3
    if wanted == 0 and not at_write:
        delay = chance.uniform(0, 6)
    while run.running and len(run.progress) < wanted:
        time.sleep(0.002)
    if at_write:
        while run.running and not run.writing():
            time.sleep(0.0005)
        return run.running
    deadline = time.monotonic() + delay
    while run.running and time.monotonic() < deadline:
        time.sleep(0.002)
    return run.running


def finish(folder, overrides):
    """Runs to the end; what was wrong with where it continued."""
    before = saved(folder)
    run = Run(folder, overrides)
    wrong = run.end(ENDS_WITHIN)
    assert not wrong, wrong
    assert run.process.returncode == 0, run.complaint[-2000:]
    return repeated(run, before)


def saved(folder):
    """What an intact checkpoint holds, by the words of `PROGRESS`: epochs, and steps.

    Those of dense networks are a tuple, a teacher's before its network's; of one that has ended
    there are infinitely many.
    """
    done = {}
    if (state := _last(folder / "run")) is not None:
        done["finetune epoch"] = done["pruned before epoch"] = _epochs(state)
        done["pruned before step"] = state["global_step"]
    dense = []
    for place in folder.glob("dense/*"):
        state = _last(place)
        ended = (place / "dense.json").exists()
        dense.append(ENDED if ended else 0 if state is None else _epochs(state))
    return {**done, "dense epoch": tuple(sorted(dense, reverse=True))}


def _last(place):
    last = place / "checkpoints" / LAST
    intact = last.exists() and is_intact(last)
    return torch.load(last, weights_only=True) if intact else None


def _epochs(state):
    return len(state["callbacks"]["EpochHistory"]["rows"])


def repeated(run, before):
    """Epochs and events that a run repeated though they were saved before it started."""
    lines, dense = [], list(before["dense epoch"])
    if not any(dense):
        dense = [0, 0]
    for line in run.progress:
        what, n, total = PROGRESS.match(line).groups()
        done = before.get(what, 0)
        if what == "dense epoch":
            # A teacher and its network have the same lines, one after the other.
            while dense and dense[0] >= int(total):
                del dense[0]
            done = dense[0] if dense else ENDED
            if n == total:
                del dense[:1]
        if int(n) <= done:
            lines.append(f"repeated: {line}")
    return lines


def campaign(folder, configuration, kills, chance):
    """Kills one victim up to `kills` times; the kills that hit."""
    overrides, hits = configuration.overrides, []
    while len(hits) < kills:
        before = saved(folder)
        run = Run(folder, overrides)
        hit = kill(run, chance)
        if hit is None:
            break
        hit.wrong += repeated(run, before)
        hits.append(hit)
    wrong = finish(folder, overrides)
    if hits:
        hits[-1].wrong += wrong
    return hits


def main():
    """Prints every victim and every mismatch; exit status 1 if there is one."""
    # Jobs in the background, or under nohup, ignore these, and so would what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=60, help="at least as many")
    parser.add_argument("--each", type=int, default=5, help="kills of a victim")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    hits, resumes, wrong, expected = [], 0, [], {}
    with TemporaryDirectory() as place:
        for number, configuration in enumerate(itertools.cycle(CONFIGURATIONS)):
            if len(hits) >= options.kills and number >= len(CONFIGURATIONS):
                break
            if configuration not in expected:
                untouched = Path(place, f"untouched-{number}")
                finish(untouched, configuration.overrides)
                expected[configuration] = run_digests(untouched)
            victim = Path(place, f"victim-{number}")
            kills = campaign(victim, configuration, options.each, chance)
            digests = run_digests(victim)
            differs = [name for name in digests if digests[name] != expected[configuration][name]]
            faults = [f"{hit.how}, {hit.where}: {w}" for hit in kills for w in hit.wrong]
            print(f"{configuration}: {len(kills)} kills, {'DIFFERS' if differs else 'identical'}")
            for line in [f"  {hit.how}, at {hit.where}" for hit in kills] + faults + differs:
                print(line, flush=True)
            hits, resumes, wrong = hits + kills, resumes + len(kills), wrong + faults + differs
    print(f"\n{len(hits)} kills, {resumes} resumes, {len(wrong)} mismatches")
    for name, count in sorted(Counter(hit.how for hit in hits).items()):
        print(f"{count:5} {name}")
    for name, count in sorted(Counter(hit.where for hit in hits).items()):
        print(f"{count:5} at {name}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
