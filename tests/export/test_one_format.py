"""A format that cannot be written takes no other along: it is left out, in a line that says why."""

import pytest
from safetensors.torch import load_file, save_file

from lightprune.cli.main import main
from tests.export.finished import OWN, finished_run
from tests.export.partly_known import bessel, branching, finished, mobilenet, sine

ALL = "safetensors,sparse,onnx,torch-prune"
PLAIN, SPARSE, ONNX, PRUNE = (
    f"model.{suffix}"
    for suffix in ("safetensors", "sparse.safetensors", "onnx", "prune.safetensors")
)


def exported(capsys, folder, *arguments):
    """Exports a run; its files, and why others were skipped, by name."""
    assert main(["export", str(folder), *arguments]) == 0
    printed, errors = capsys.readouterr()
    assert errors == ""
    lines = dict(line.split(": ", 1) for line in printed.splitlines())
    if "fp16" in arguments:
        assert lines.pop("accuracy in fp16").startswith("not measured; ")
    files = {file.name for file in (folder / "export").iterdir() if file.is_file()}
    skipped = {
        name.rpartition("/")[2]: line.removeprefix("skipped; ")
        for name, line in lines.items()
        if line.startswith("skipped; ")
    }
    assert files | skipped.keys() == {name.rpartition("/")[2] for name in lines}
    assert not files & skipped.keys()
    return files, skipped


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (branching, {SPARSE: "branches that depend on the image's", ONNX: "data-dependent expr"}),
        (bessel, {SPARSE: "bessel_j0", ONNX: "No ONNX function found for <OpOverload(op='prims.b"}),
        (sine, {SPARSE: "sin in the network itself: this operation is not known"}),
    ],
    ids=["branching", "bessel", "sine"],
)
def test_what_a_format_cannot_express_leaves_out_that_format(tmp_path, capsys, build, expected):
    pytest.importorskip("onnxscript")
    files, skipped = exported(capsys, tmp_path, "--formats", ALL, *finished(tmp_path, build))

    assert skipped.keys() == expected.keys()
    assert all(part in skipped[name] for name, part in expected.items())
    assert files == {PLAIN, SPARSE, ONNX, PRUNE} - skipped.keys()


@pytest.mark.usefixtures("no_onnx")
def test_a_mobilenet_is_written_as_weights(tmp_path, capsys):
    files, skipped = exported(capsys, tmp_path, *finished(tmp_path, mobilenet))

    assert files == {PLAIN}
    assert skipped[SPARSE].startswith("tanh in features.0.2: this operation is not known")
    assert skipped[ONNX] == "pip install onnx onnxscript makes it possible"


@pytest.mark.parametrize("name", [PLAIN, SPARSE, PRUNE])
@pytest.mark.usefixtures("no_onnx")
def test_a_file_that_cannot_be_written_leaves_out_that_file(tmp_path, capsys, name):
    finished_run(tmp_path)
    (tmp_path / "export" / name).mkdir(parents=True)

    files, skipped = exported(capsys, tmp_path, "--formats", ALL, "--constructor", OWN)
    assert files == {PLAIN, SPARSE, PRUNE} - {name}
    assert skipped[name].startswith("cannot be written ([Errno 21] Is a directory")


@pytest.mark.usefixtures("no_onnx")
def test_weights_beyond_fp16_leave_out_the_sparse_file(tmp_path, capsys):
    finished_run(tmp_path)
    weights = load_file(tmp_path / PLAIN)
    weights["4.weight"][0, 0, 0, 0] = 1e6
    save_file(weights, tmp_path / PLAIN)

    files, skipped = exported(capsys, tmp_path, "--values", "fp16", "--constructor", OWN)
    assert files == {PLAIN}
    assert skipped[SPARSE].startswith("4.weight: holds 1e+06")


@pytest.mark.usefixtures("no_onnx")
def test_nothing_written_is_an_error_that_says_why_of_each(tmp_path, capsys):
    finished_run(tmp_path)
    for name in (PLAIN, SPARSE):
        (tmp_path / "export" / name).mkdir(parents=True)

    assert main(["export", str(tmp_path), "--constructor", OWN]) == 1
    printed, errors = capsys.readouterr()
    assert printed == ""
    assert errors.startswith(f"error: {tmp_path}/export/{PLAIN}: skipped; cannot be written")
    assert errors.count(": skipped; ") == 3
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("build", "reason"),
    [(branching, "cannot be traced"), (bessel, "bessel_j0"), (mobilenet, "tanh in features")],
    ids=["branching", "bessel", "mobilenet"],
)
def test_what_the_compiler_cannot_take_is_explained_in_one_line(tmp_path, capsys, build, reason):
    assert main(["export", str(tmp_path), "--explain", *finished(tmp_path, build)]) == 1
    printed, errors = capsys.readouterr()
    assert printed == ""
    assert errors.startswith("error: ")
    assert reason in errors
    assert errors.count("\n") == 1


@pytest.mark.usefixtures("no_onnx")
def test_a_file_of_an_earlier_export_is_not_taken_for_one_of_this(tmp_path, capsys):
    arguments = finished(tmp_path, sine)
    stale = tmp_path / "export" / SPARSE
    stale.parent.mkdir()
    stale.write_bytes(b"of another network")

    assert main(["export", str(tmp_path), *arguments]) == 0

    assert f"{stale}: skipped (an earlier export's stays); sin in" in capsys.readouterr().out
    assert stale.read_bytes() == b"of another network"
