"""Files are written whole or not at all."""

import os
import stat

import pytest
import torch
from safetensors.torch import load_file

from lightprune.errors import InputError
from lightprune.export.load import load, load_dense
from lightprune.export.sparse_file import read_sparse
from lightprune.files import (
    check_readable,
    checksum,
    csv_text,
    file_lock,
    read_csv,
    read_weights,
    replace_file,
    write_text,
    write_weights,
)
from lightprune.runs.folder import RunFolder
from lightprune.runs.record import read_dense_record
from lightprune.training.checkpoints import SealedCheckpointIO, is_intact
from tests.permissions import obeyed_permissions


@pytest.fixture(params=[0o022, 0o002, 0o077, 0o027], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


WRITERS = {
    "text": lambda path: write_text(path, "one"),
    "weights": lambda path: write_weights(path, {"a": torch.ones(2)}),
    "checkpoint": lambda path: SealedCheckpointIO().save_checkpoint({"a": torch.ones(2)}, path),
    "bytes": lambda path: replace_file(path, lambda partial: partial.write_bytes(b"one")),
    "lock": lambda path: file_lock(path).acquire().lock.release(),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_who_may_read_a_file_is_up_to_the_umask(tmp_path, umask, write):
    for _ in range(2):
        write(tmp_path / "file")

        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask


READERS = {
    "weights": read_weights,
    "csv": read_csv,
    "checksum": checksum,
    "run.json": lambda path: RunFolder(path.parent).record(),
    "dense.json": read_dense_record,
    "last.ckpt": is_intact,
    "model.sparse.safetensors": read_sparse,
    "loaded.sparse.safetensors": load,
    "loaded.safetensors": load_dense,
}


@pytest.mark.parametrize(("name", "read"), READERS.items(), ids=READERS)
def test_a_file_that_may_not_be_read_is_not_called_missing_or_damaged(tmp_path, name, read):
    file = tmp_path / name
    file.touch(mode=0)

    with obeyed_permissions(), pytest.raises(InputError) as error:
        read(file)
    assert str(error.value) == (
        f"{file}: may not be read (Permission denied); allowed is a file that you may read"
    )


def test_a_folder_that_may_not_be_read_is_called_one(tmp_path):
    (tmp_path / "theirs").mkdir(mode=0)

    with obeyed_permissions(), pytest.raises(InputError, match="allowed is a folder that you may"):
        check_readable(tmp_path / "theirs", "--to=theirs")


def test_a_missing_file_is_left_to_its_reader(tmp_path):
    check_readable(tmp_path / "nothing")
    check_readable(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_weights(tmp_path / "nothing")


def test_a_text_replaces_the_old_one_and_leaves_nothing_beside_it(tmp_path):
    write_text(tmp_path / "new" / "file", "one")
    write_text(tmp_path / "new" / "file", "two")

    assert [f.name for f in (tmp_path / "new").iterdir()] == ["file"]
    assert (tmp_path / "new" / "file").read_text() == "two"


def test_weights_keep_values_names_and_description(tmp_path):
    weight = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    write_weights(tmp_path / "w.safetensors", {"a.weight": weight}, {"about": "this"})

    assert torch.equal(load_file(tmp_path / "w.safetensors")["a.weight"], weight)


def test_a_failed_write_keeps_the_old_file(tmp_path):
    write_weights(tmp_path / "w", {"a": torch.ones(2)})
    with pytest.raises(AttributeError):
        write_weights(tmp_path / "w", {"a": None})

    assert torch.equal(load_file(tmp_path / "w")["a"], torch.ones(2))
    assert len(list(tmp_path.iterdir())) == 1


def test_weights_that_share_memory_are_each_written_under_every_name(tmp_path):
    weight = torch.randn(6)
    state = {"a": weight, "b": weight, "half": weight[:3], "other": torch.ones(2)}
    write_weights(tmp_path / "w", state)

    read = load_file(tmp_path / "w")
    assert list(read) == sorted(state)
    assert all(torch.equal(read[name], state[name]) for name in state)


def test_rows_come_back_from_csv_as_text_by_column(tmp_path):
    write_text(tmp_path / "rows.csv", csv_text(("name", "n"), [("a, b", 1), ("c", None)]))

    assert read_csv(tmp_path / "rows.csv") == [{"name": "a, b", "n": "1"}, {"name": "c", "n": ""}]
