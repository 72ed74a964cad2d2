"""Files are written whole or not at all."""

import pytest
import torch
from safetensors.torch import load_file

from lightprune.files import csv_text, read_csv, write_text, write_weights


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
