"""`lightprune export`: every file computes what the trained network computes."""

import copy
import io
import re
import shutil
from contextlib import redirect_stderr, redirect_stdout

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils import prune
from torchvision.models import resnet18

from lightprune.cli.main import main
from lightprune.errors import InputError
from lightprune.export.export_network import ExportConfig
from tests.export.finished import (
    OWN,
    finish,
    finished_run,
    prune_convolutions,
    with_statistics,
)

ARGUMENTS = ("--constructor", OWN)
ALL = "safetensors,sparse,onnx,torch-prune"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished_run(tmp_path_factory.mktemp("export") / "run")


def logits(file, images):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])


@pytest.fixture(scope="module")
def written(run, tmp_path_factory):
    """The folder with all files of the small run, and what was printed."""
    pytest.importorskip("onnxscript")
    folder, printed = tmp_path_factory.mktemp("written"), io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        arguments = ("--to", str(folder), "--formats", ALL, *ARGUMENTS)
        assert main(["export", str(run[0]), *arguments]) == 0
    return folder, printed.getvalue().splitlines()


def test_every_file_is_written_and_named_with_its_size(written):
    folder, lines = written
    suffixes = ("safetensors", "sparse.safetensors", "onnx", "prune.safetensors")

    assert [line.partition(": ")[0] for line in lines] == [
        str(folder / f"model.{suffix}") for suffix in suffixes
    ]
    assert all(re.fullmatch(r".*: \d+\.\d\d MB", line) for line in lines)
    assert len(list(folder.iterdir())) == 4


def test_onnx_equals_torch_at_any_batch_size(run, written):
    file = written[0] / "model.onnx"
    for count in (1, 2, 5):
        images = torch.randn(count, 3, 8, 8)
        expected = run[1](images).detach()
        torch.testing.assert_close(logits(file, images), expected, rtol=1e-4, atol=1e-4)
    assert b"finished.py" not in file.read_bytes()


def test_the_prune_style_file_is_what_torch_itself_saves(run, written):
    masked = copy.deepcopy(run[1])
    for module in masked.modules():
        if isinstance(module, nn.Conv2d):
            prune.custom_from_mask(module, "weight", module.weight != 0)
    found, expected = load_file(written[0] / "model.prune.safetensors"), masked.state_dict()

    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert all(found[name].dtype == expected[name].dtype for name in expected)


@pytest.mark.long
def test_resnet18_in_onnx_is_stripped_of_its_unreachable_weights(tmp_path):
    pytest.importorskip("onnxscript")
    network = with_statistics(resnet18(num_classes=10))
    pruned = prune_convolutions(network, 0.98)
    finish(tmp_path, network, pruned, constructor="torchvision.models.resnet18", size=32)
    assert main(["export", str(tmp_path)]) == 0

    file = tmp_path / "export" / "model.onnx"
    images = torch.randn(2, 3, 32, 32)
    assert file.stat().st_size < 17e6
    torch.testing.assert_close(logits(file, images), network(images).detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("no_onnx")
def test_without_onnx_the_rest_is_written_and_the_remedy_named(run, tmp_path, capsys):
    folder, network = run
    assert main(["export", str(folder), "--to", str(tmp_path), *ARGUMENTS]) == 0

    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"{tmp_path / 'model.onnx'}: skipped; pip install onnx onnxscript")
    assert sorted(f.name for f in tmp_path.iterdir()) == [
        "model.safetensors",
        "model.sparse.safetensors",
    ]
    plain = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(plain[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("formats", ["sparse", (), ("sprase",)])
def test_formats_that_are_none_are_refused(formats):
    with pytest.raises(InputError, match="--formats="):
        ExportConfig(formats)


@pytest.mark.parametrize("option", ["--to=x", "--formats=sparse", "--values=int8", "--opset=18"])
def test_explain_takes_no_options_of_what_is_written(run, capsys, option):
    assert main(["export", str(run[0]), "--explain", *ARGUMENTS, option]) == 1
    assert capsys.readouterr().err.startswith(f"error: {option}: is for what is written")


def test_explain_prints_every_stage_and_writes_nothing(tmp_path, capsys):
    folder, _ = finished_run(tmp_path / "run")

    assert main(["export", str(folder), "--explain", *ARGUMENTS]) == 0
    printed = capsys.readouterr().out
    assert printed.count("\nafter ") > 3
    assert "conv" in printed
    assert not (folder / "export").exists()


@pytest.mark.usefixtures("no_onnx")
def test_by_default_the_files_lie_in_the_run(tmp_path):
    folder, _ = finished_run(tmp_path / "run")

    assert main(["export", str(folder), "--values", "fp16", *ARGUMENTS]) == 0
    assert (folder / "export" / "model.sparse.safetensors").is_file()


@pytest.mark.parametrize("formats", ["sparse", "torch-prune, safetensors", "safetensors"])
def test_only_these_formats_are_written(run, tmp_path, capsys, formats):
    assert (
        main(["export", str(run[0]), "--to", str(tmp_path), "--formats", formats, *ARGUMENTS]) == 0
    )

    suffixes = {"torch-prune": "prune.safetensors", "sparse": "sparse.safetensors"}
    names = [suffixes.get(name, name) for name in sorted(formats.split(", "))]
    assert [*files(tmp_path)] == sorted(f"model.{name}" for name in names)
    assert len(capsys.readouterr().out.splitlines()) == len(names)


@pytest.mark.parametrize("opset", [20, 18])
def test_onnx_is_written_with_these_operators(run, tmp_path, opset):
    onnx = pytest.importorskip("onnx")
    arguments = ("--to", str(tmp_path), "--formats", "onnx", "--opset", str(opset), *ARGUMENTS)
    assert main(["export", str(run[0]), *arguments]) == 0

    (imported,) = onnx.load(tmp_path / "model.onnx").opset_import
    assert imported.version == opset
    images = torch.randn(3, 3, 8, 8)
    expected = run[1](images).detach()
    torch.testing.assert_close(
        logits(tmp_path / "model.onnx", images), expected, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("opset", [9, 1000])
def test_operators_that_torch_cannot_write_are_said_to_be(run, tmp_path, capsys, opset):
    pytest.importorskip("onnx")
    arguments = ("--to", str(tmp_path), "--formats", "onnx", "--opset", str(opset), *ARGUMENTS)
    assert main(["export", str(run[0]), *arguments]) == 1

    assert capsys.readouterr().err == (
        f"error: {tmp_path}/model.onnx: skipped; --opset={opset}: torch.onnx cannot write it; "
        "allowed is 18\n"
    )
    assert not [*files(tmp_path)]


def files(folder):
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "is not imported because a file says so"),
        ((*ARGUMENTS, "--values", "int4"), "--values=int4: allowed are fp32, fp16, int8"),
        ((*ARGUMENTS, "--data-root", "{run}"), "is for the accuracy of an export with --values"),
        ((*ARGUMENTS, "--values", "int8", "--data-root", "{run}/none"), "none: no such folder"),
        (
            (*ARGUMENTS, "--formats", "onxx"),
            "--formats=onxx: allowed are safetensors, sparse, onnx",
        ),
        ((*ARGUMENTS, "--formats", ""), "--formats=: allowed are safetensors, sparse, onnx, torch"),
        ((*ARGUMENTS, "--formats", "onnx,onnx"), "--formats=onnx,onnx: names one twice"),
        ((*ARGUMENTS, "--opset", "0"), "--opset=0: allowed is an integer at least 1"),
        ((*ARGUMENTS, "--opset", "new"), "'--opset': Input should be a valid integer"),
        (
            (*ARGUMENTS, "--formats", "sparse", "--opset", "18"),
            "--opset: changes onnx only, which --formats=sparse leaves out",
        ),
        (
            (*ARGUMENTS, "--formats", "onnx,safetensors", "--values", "fp16"),
            "--values: changes sparse only, which --formats=safetensors,onnx leaves out",
        ),
        ((*ARGUMENTS, "--torch-prune"), "--torch-prune: is `--formats torch-prune`"),
        ((*ARGUMENTS, "--to", "{run}/run.json"), "is no folder; allowed"),
        (("--constructor", "tests.nothing"), "tests.nothing: module 'tests' has no attribute"),
    ],
)
def test_what_cannot_be_exported_is_one_line(run, tmp_path, capsys, arguments, said):
    folder = shutil.copytree(run[0], tmp_path / "run")
    places = [argument.replace("{run}", str(folder)) for argument in arguments]

    assert main(["export", str(folder), *places]) == 1
    printed, errors = capsys.readouterr()
    assert printed == ""
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert said in errors
    assert not (folder / "export").exists()


@pytest.mark.parametrize("damage", ["gone", "file", "unfinished", "layers", "other layers"])
@pytest.mark.usefixtures("no_onnx")
def test_a_wrong_run_is_one_line(run, tmp_path, capsys, damage):
    folder = shutil.copytree(run[0], tmp_path / "run")
    if damage in ("gone", "file"):
        shutil.rmtree(folder)
    if damage == "file":
        folder.write_text("")
    elif damage == "unfinished":
        (folder / "run.json").unlink()
    elif damage == "layers":
        (folder / "layers.csv").write_bytes(b"\xff\n")
    elif damage == "other layers":
        (folder / "layers.csv").write_text("name\nother.weight\n")

    assert main(["export", str(folder), "--formats", "torch-prune", *ARGUMENTS]) == 1
    assert capsys.readouterr().err.startswith(f"error: {folder}")
