"""Finds the finished runs below a folder, and names what is not finished or damaged."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lightprune.bench.result import BenchResult
from lightprune.errors import InputError
from lightprune.report.reported_run import ReportedRun
from lightprune.runs.finished_run import DamagedError, FinishedRun, read_run

BENCH = "bench/bench.json"
# Any of these makes a folder a run's.
_SIGNS = ("run.json", "config.yaml", "launch.yaml")


@dataclass(frozen=True)
class RunCollection:
    """The runs that a report is about, and why it leaves out other folders and files."""

    runs: tuple[ReportedRun, ...]
    left_out: dict[str, str]


def find_runs(
    folder: Path, dense_dir: Path, dataset_names: Mapping[str, str] | None = None
) -> RunCollection:
    """Reads every run folder below `folder`, itself included.

    Dense networks lie in `dense_dir` or in `folder/dense`; `dataset_names` has names of known data
    sets, by fingerprint.

    Raises:
        InputError: There is no such folder, or no finished run in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; allowed is one with finished runs")
    runs, left_out = [], dict[str, str]()
    paths = {file.parent for sign in _SIGNS for file in folder.rglob(sign)}
    # What a logger keeps within a run's folder may have a config of its own, but no record.
    below = paths - {folder}
    own = (p for p in paths if (p / "run.json").exists() or below.isdisjoint(p.parents))
    for path in sorted(own):
        name, bench = path.relative_to(folder).as_posix(), None
        try:
            run = read_run(path, name, (dense_dir, folder / "dense"))
        except InputError as error:  # Its line begins with the file and ends with a remedy.
            left_out[name] = str(error).removeprefix(f"{path}/").partition("; allowed")[0]
            continue
        except DamagedError as error:
            left_out[name] = str(error)
            continue
        try:
            bench = _read_bench(run, path / BENCH)
        except DamagedError as error:
            left_out[f"{name}/{BENCH}"] = str(error)
        dataset = (dataset_names or {}).get(run.data.fingerprint, "")
        runs.append(ReportedRun(**vars(run), bench=bench, dataset_name=dataset))
    if not runs:
        skipped = next((f"; left out: {name} ({left_out[name]})" for name in left_out), "")
        more = f" and {len(left_out) - 1} more" if len(left_out) > 1 else ""
        raise InputError(
            f"{folder}: holds no finished run{skipped}{more}; allowed is a folder with at least "
            "one complete run.json and its CSV files below it"
        )
    return RunCollection(tuple(runs), left_out)


def _read_bench(run: FinishedRun, file: Path) -> BenchResult | None:
    try:
        bench = BenchResult.from_json(file.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DamagedError(f"is damaged ({error})") from error
    if bench.cost != run.cost:
        raise DamagedError("is of another network than the run's")
    return bench
