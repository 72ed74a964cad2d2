"""A backend that cannot run a network takes no other along: it is skipped, with its reason."""

import json
import re
from io import StringIO

import pytest
from rich.console import Console

from lightprune.bench.console_tables import bench_tables
from lightprune.bench.result import BenchResult
from lightprune.cli.main import main
from tests.export.partly_known import branching, finished, mobilenet, sine

QUICK = ("--threads", "1", "--rounds", "1", "--batches", "1,2")


def measured(folder, build, *arguments):
    assert main(["bench", str(folder), *QUICK, *finished(folder, build), *arguments]) == 0
    return BenchResult.from_json((folder / "bench" / "bench.json").read_text())


def checked(result, timed):
    """Only these were timed and compared; what was skipped is told in a line each."""
    assert {timing.backend for timing in result.timings} == result.backends.keys() == timed
    assert {check.backend for check in result.output_checks} == timed
    assert "sparse file" in result.skipped
    assert (result.runtime_macs, result.startup, result.profile) == (None, None, None)
    assert not any("\n" in reason or "\x1b" in reason for reason in result.skipped.values())
    assert json.loads(result.to_json())["runtime_macs"] is None
    printed = Console(file=StringIO(), width=800)
    for part in bench_tables(result):
        printed.print(part)
    for name, reason in result.skipped.items():
        pattern = rf"^skipped: (.*, )?{re.escape(name)}(, .*)?: {re.escape(reason)}$"
        assert re.search(pattern, printed.file.getvalue(), re.MULTILINE)
    assert not re.search(r", [\d,]+ in the sparse runtime", printed.file.getvalue())


@pytest.mark.parametrize(
    ("build", "timed"),
    [
        pytest.param(branching, {"eager", "csr"}, marks=pytest.mark.long),
        pytest.param(
            sine, {"eager", "csr", "onnx", "onnx-stripped", "sparse"}, marks=pytest.mark.long
        ),
    ],
    ids=["branching", "sine"],
)
def test_what_can_run_a_network_is_timed(tmp_path, build, timed):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    backends = "eager,csr,onnx,onnx-stripped,sparse"
    result = measured(tmp_path, build, "--backends", backends, "--profile")

    checked(result, timed)
    parts = {"accuracy", "sparse file", "sparse", "onnx", "onnx-stripped"}
    assert result.skipped.keys() == parts - timed
    sizes = {name.partition(",")[0] for name in result.sizes}
    assert sizes == ({"safetensors", "ONNX"} if "onnx" in timed else {"safetensors"})


@pytest.mark.usefixtures("no_onnx")
def test_a_mobilenet_is_timed_with_some_of_it_in_the_sparse_runtime(tmp_path):
    result = measured(tmp_path, mobilenet, "--backends", "eager,onnx,sparse")

    checked(result, {"eager", "sparse"})
    reason, _, regions = result.skipped["sparse file"].partition("; sparse.compile is timed in its")
    assert reason.startswith("tanh in features.0.2: this operation is not known")
    assert "regions run in the sparse runtime" in regions
    assert result.speedups[0].over_dense
    assert all(check.max_logit_difference < 1e-4 for check in result.output_checks)
    assert result.skipped["onnx"].startswith("pip install onnx")


@pytest.mark.usefixtures("no_onnx")
def test_where_nothing_runs_the_reason_is_one_line(tmp_path, capsys):
    arguments = ("--backends", "onnx,sparse", *finished(tmp_path, branching))

    assert main(["bench", str(tmp_path), *QUICK, *arguments]) == 1
    printed, errors = capsys.readouterr()
    assert printed == ""
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert "sparse: Then cannot be exported on inputs of " in line
    assert "onnx: pip install" in line
    assert not (tmp_path / "bench").exists()
