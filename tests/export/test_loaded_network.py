"""Networks whose files hold weights alone: the command line says how they are built."""

import copy

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

import lightprune
from lightprune.bench.result import BenchResult
from lightprune.cli.main import main
from lightprune.export.sparse_file import read_sparse
from lightprune.models.zoo import resnet20
from tests.export.finished import OWN, prune_convolutions, small_network, with_statistics

WHAT = ("--constructor", OWN, "--input", "3x8x8")


@pytest.fixture(scope="module")
def network():
    network = with_statistics(small_network())
    prune_convolutions(network, 0.8)
    return network


def masked(network):
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            prune.custom_from_mask(module, "weight", module.weight != 0)
    return network.state_dict()


def behind(prefix, state):
    return {prefix + name: tensor for name, tensor in state.items()}


def export(path, *arguments):
    return main(["export", str(path), "--formats", "sparse", *arguments])


KINDS = {
    "bare.pth": lambda n: n.state_dict(),
    "compiled.pt": lambda n: behind("_orig_mod.", n.state_dict()),
    "trainer.pt": lambda n: {"epoch": 3, "model_state_dict": behind("module.", n.state_dict())},
    "lightning.ckpt": lambda n: {"state_dict": behind("model.", n.state_dict())},
    "early.pth": lambda n: {k: v for k, v in n.state_dict().items() if "num_batches" not in k},
    "masked.pth": masked,
    "masked.ckpt": lambda n: {"state_dict": behind("network.", masked(n))},
}


@pytest.mark.parametrize("name", [*KINDS, "plain.safetensors"])
def test_any_file_of_weights_becomes_a_sparse_network(network, tmp_path, capsys, name):
    file = tmp_path / name
    if name in KINDS:
        torch.save(KINDS[name](network), file)
    else:
        save_file(network.state_dict(), file)
    assert export(file, *WHAT) == 0

    line = capsys.readouterr().out.splitlines()[-1]
    assert line == f"{file}: does not say how images are normalised, nor the classes"
    sparse = lightprune.load(tmp_path / "export" / "model.sparse.safetensors")
    images = torch.randn(3, 3, 8, 8)
    torch.testing.assert_close(sparse(images), network(images).detach(), rtol=1e-4, atol=1e-5)


def test_what_lies_beside_the_network_is_said(network, tmp_path, capsys):
    state = behind("model.", network.state_dict()) | {"loss.weight": torch.ones(10)}
    torch.save({"state_dict": state}, tmp_path / "a.ckpt")
    assert export(tmp_path / "a.ckpt", *WHAT) == 0

    line = capsys.readouterr().out.splitlines()[-1]
    assert line == f"{tmp_path / 'a.ckpt'}: beside the network, not read: loss.weight"


def test_half_precision_is_read_as_the_network_computes(network, tmp_path):
    state = {n: t.half() if t.is_floating_point() else t for n, t in network.state_dict().items()}
    torch.save(state, tmp_path / "a.pt")
    assert export(tmp_path / "a.pt", *WHAT) == 0

    stored = read_sparse(tmp_path / "export" / "model.sparse.safetensors").state
    assert all((stored[name] == tensor.numpy()).all() for name, tensor in state.items())
    assert stored["0.weight"].dtype == "float32"


def test_of_two_networks_in_a_file_a_command_names_one(network, tmp_path, capsys):
    file, other = tmp_path / "a.pt", with_statistics(small_network())
    other[0].weight.data += 1
    torch.save(behind("ema.", network.state_dict()) | behind("model.", other.state_dict()), file)
    line = refused(capsys, file, *WHAT).strip()
    assert line.endswith("behind ema., model.; allowed is one of --prefix=ema, --prefix=model")

    plain = ("--formats", "safetensors", *WHAT, "--prefix", "ema")
    assert main(["export", str(file), *plain]) == 0
    module = lightprune.load(tmp_path / "export" / "model.safetensors", constructor=small_network)
    assert torch.equal(module[0].weight, network[0].weight)


def test_a_constructor_takes_arguments_and_the_files_remember_them(tmp_path):
    network = with_statistics(resnet20(num_classes=7, shortcut="B"))
    prune_convolutions(network, 0.9)
    torch.save(network.state_dict(), tmp_path / "a.pt")
    call = "lightprune.models.zoo.resnet20(num_classes=7, shortcut='B')"
    assert export(tmp_path / "a.pt", "--constructor", call, "--input", "3x16x16") == 0

    file, images = tmp_path / "export" / "model.sparse.safetensors", torch.randn(2, 3, 16, 16)
    assert read_sparse(file).spec.arguments == {"num_classes": 7, "shortcut": "B"}
    module = lightprune.load(file, as_module=True)
    assert torch.equal(module(images), network(images))
    # What was written is a network's file like any other.
    assert export(file, "--to", str(tmp_path / "again")) == 0
    again, first = read_sparse(tmp_path / "again" / file.name), read_sparse(file)
    assert (again.spec, again.graph) == (first.spec, first.graph)
    assert all((again.state[name] == array).all() for name, array in first.state.items())


@pytest.mark.usefixtures("no_onnx")
def test_the_other_formats_are_written_too(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "a.pt")
    formats = ("--formats", "safetensors,onnx,torch-prune")
    assert main(["export", str(tmp_path / "a.pt"), *formats, *WHAT]) == 0

    plain = lightprune.load(tmp_path / "export" / "model.safetensors", constructor=small_network)
    assert torch.equal(plain[0].weight, network[0].weight)
    again = ("--to", str(tmp_path / "again"), *WHAT)
    assert export(tmp_path / "export" / "model.prune.safetensors", *again) == 0


@pytest.mark.usefixtures("no_onnx")
def test_a_bench_compares_outputs_on_random_images(network, tmp_path, capsys):
    torch.save(network.state_dict(), tmp_path / "a.pt")
    quick = ("--threads", "1", "--rounds", "1", "--batches", "1,2", "--no-startup")
    assert main(["bench", str(tmp_path / "a.pt"), *quick, "--backends", "eager,sparse", *WHAT]) == 0

    printed, progress = capsys.readouterr()
    assert "a.pt: does not say how images are normalised, nor the classes" in progress
    assert "skipped: accuracy: classes and normalisation are unknown" in printed
    found = BenchResult.from_json((tmp_path / "bench" / "bench.json").read_text())
    assert found.evaluation_images == "random images"
    assert found.backends.keys() == {"eager", "sparse"}
    differences = {c.backend: c.max_logit_difference for c in found.output_checks}
    assert differences["sparse"] < 1e-4
    weights = [p for p in network.parameters() if p.dim() > 1]
    assert found.cost.nnz == sum(int(p.count_nonzero()) for p in weights)

    assert main(["bench", str(tmp_path / "a.pt"), *WHAT, "--data-root", str(tmp_path)]) == 1
    assert "does not say how images are normalised; allowed is a run" in capsys.readouterr().err


def raising():
    """A constructor that fails."""
    raise KeyError("width")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "a.pt: does not say how its network is built; allowed is"),
        (("--constructor", OWN), "a.pt: does not say how its network is built; allowed is"),
        (("--input", "3x8x8"), "--input=3x8x8: allowed is --constructor NAME with it"),
        (("--prefix", "ema"), "--prefix=ema: allowed is --input CxHxW with it, for weights alone"),
        ((*WHAT, "--prefix", "ema"), "--prefix=ema: no name in"),
        ((*WHAT, "--input", "3,8,8"), "--input=3,8,8: allowed is CxHxW, such as 3x224x224"),
        ((*WHAT, "--input", "3x0x8"), "--input=3x0x8: allowed is CxHxW, such as 3x224x224"),
        ((*WHAT, "--input", "3x8x8x8"), "--input=3x8x8x8: allowed is CxHxW"),
        ((*WHAT, "--constructor", "no.such"), "no.such: No module named 'no'; allowed is package."),
        ((*WHAT, "--constructor", f"{__name__}.raising"), "raising: 'width'; allowed is what"),
        ((*WHAT, "--constructor", f"{OWN}(wide=1)"), "unexpected keyword argument 'wide'"),
        ((*WHAT, "--constructor", f"{OWN}(open('x'))"), "is no call with named arguments; allowed"),
        (
            (*WHAT, "--constructor", f"{OWN}(a=open('x'))"),
            "a=open('x') is no literal; allowed is NAME",
        ),
        ((*WHAT, "--constructor", f"{OWN}(a=(1,))"), "arguments.a of the description is not"),
        ((*WHAT, "--constructor", f"{OWN}(weights='X')"), "without weights="),
        ((*WHAT, "--constructor", f"{OWN}(a=1, a=2)"), "allowed is NAME or NAME(argument=value)"),
        ((*WHAT, "--constructor", f"{OWN}(a="), "allowed is NAME or NAME(argument=value)"),
        (
            (*WHAT, "--constructor", f"{OWN}(num_classes=7)"),
            "9.weight is torch.float32 (7, 16), not torch.float32 (10, 16)",
        ),
        ((*WHAT, "--constructor", "torch.nn.Identity"), "0.weight is missing, not torch.float32"),
    ],
)
def test_what_does_not_fit_is_one_line(network, tmp_path, capsys, arguments, said):
    torch.save(network.state_dict(), tmp_path / "a.pt")

    assert said in refused(capsys, tmp_path / "a.pt", *arguments)
    assert not (tmp_path / "export").exists()


def test_weights_that_are_no_numbers_are_refused(network, tmp_path, capsys):
    state = network.state_dict() | {"9.bias": torch.full((10,), torch.nan)}
    torch.save(state, tmp_path / "a.pt")

    expected = f"{tmp_path / 'a.pt'}: 9.bias holds NaN or infinite weights; allowed are finite ones"
    assert expected in refused(capsys, tmp_path / "a.pt", *WHAT)


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("a.pt2", lambda f: f.write_bytes(b""), "cannot be read (File is not a zip file)"),
        ("a.pt", lambda f: f.write_text("hello"), "cannot be read (it is of another format)"),
        ("a.onnx", lambda f: f.write_bytes(b"\x08\x07"), "cannot be read"),
        ("a.pt", lambda f: torch.save(small_network(), f), "without running code from it"),
        ("a.pt", lambda f: torch.save([1], f), "holds no state dict"),
        ("a.pt", lambda f: None, "no such file; allowed are safetensors"),
        ("a.safetensors", lambda f: f.write_bytes(b"x"), "cannot be read"),
        ("a.sparse.safetensors", lambda f: f.write_bytes(b"x"), "says it itself; allowed is"),
        ("folder", lambda f: f.mkdir(), "says it itself; allowed is a file of weights alone"),
    ],
)
def test_a_file_that_holds_no_weights_alone_is_one_line(tmp_path, capsys, name, write, said):
    write(tmp_path / name)

    assert said in refused(capsys, tmp_path / name, *WHAT)


def test_the_program_in_a_file_of_torch_export_is_not_run(tmp_path, capsys):
    (tmp_path / "a.pt2").write_bytes(b"")

    expected = "a.pt2: torch.export.load may run code from it; allowed is --constructor NAME"
    assert expected in refused(capsys, tmp_path / "a.pt2")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "--constructor=nothing: Empty module name"),
        ("lightprune.nothing", "--constructor=lightprune.nothing: module 'lightprune' has no"),
        ("collections.Counter", "collections.Counter: returns a Counter, no torch.nn.Module;"),
    ],
)
def test_a_constructor_that_builds_no_network_is_named(tmp_path, capsys, name, said):
    torch.save({}, tmp_path / "a.pt")

    assert said in refused(capsys, tmp_path / "a.pt", "--constructor", name, "--input", "3x8x8")


def refused(capsys, path, *arguments):
    """The one line that export and bench refuse it with."""
    lines = set()
    for command in ("export", "bench"):
        assert main([command, str(path), *arguments]) == 1
        printed, errors = capsys.readouterr()
        assert printed == ""
        assert errors.startswith("error: ")
        assert errors.count("\n") == 1
        lines.add(errors)
    assert len(lines) == 1
    return lines.pop()


@pytest.mark.parametrize(
    ("values", "rounded"), [("fp32", None), ("fp16", "float16"), ("int8", "int8")]
)
def test_an_export_of_rounded_weights_says_so_when_it_is_read(
    network, tmp_path, capsys, values, rounded
):
    weights = tmp_path / "bare.pth"
    torch.save(network.state_dict(), weights)
    first, second = tmp_path / "first", tmp_path / "second"
    assert export(weights, *WHAT, "--values", values, "--to", str(first)) == 0
    capsys.readouterr()

    assert export(first, "--constructor", OWN, "--to", str(second)) == 0

    lines = [line for line in capsys.readouterr().out.splitlines() if "weights rounded" in line]
    assert lines == ([f"{first}: holds its weights rounded to {rounded}"] if rounded else [])
