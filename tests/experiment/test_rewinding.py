"""Early weights: kept by the training, or trained again to the bit, and never taken damaged."""

import pytest
import torch

from lightprune.experiment.dense_cache import dense_key, rewind_file
from lightprune.experiment.dense_network import dense_network
from lightprune.experiment.dense_training import DenseTraining
from lightprune.experiment.rewinding import rewind_state
from tests.training.small import BreakOffAt, BrokenOffError, copied, equal, phase, small_setup

IDENTITY = {"about": "this network"}
PHASE = phase(3)


@pytest.fixture
def cache(tmp_path, printed):
    """A trained network that has kept its second epoch."""
    dense_network(DenseTraining(small_setup(), PHASE, tmp_path, IDENTITY), snapshots=[2])
    printed.clear()
    return tmp_path


@pytest.fixture
def printed(monkeypatch):
    """The lines that are printed."""
    lines = []
    console = "lightprune.rendering.console_table.get_console"
    monkeypatch.setattr(console, lambda: Lines(lines))
    return lines


class Lines:
    def __init__(self, lines):
        self.lines = lines

    def print(self, line, **_):
        self.lines.append(line)


def early(cache, epochs, *watchers):
    return rewind_state(DenseTraining(small_setup(*watchers), PHASE, cache, IDENTITY), epochs)


def test_after_no_epoch_the_network_is_as_it_was_built(tmp_path):
    assert equal(early(tmp_path, 0), small_setup().new_network().state_dict())
    assert not list(tmp_path.iterdir())


def test_weights_that_the_training_kept_cost_no_training(cache, printed):
    assert early(cache, 2)
    assert printed == []


def test_weights_that_were_not_kept_are_trained_again_to_the_bit(cache, printed):
    kept, file = early(cache, 2), rewind_file(cache / dense_key(IDENTITY), 2)
    file.unlink()
    again = early(cache, 2)

    assert equal(again, kept)
    assert "is not there; 2 epochs of the dense training will be trained again" in printed[0]
    assert len(printed) == 3
    assert sorted(f.suffix for f in file.parent.glob("rewind-*")) == [".safetensors"]


@pytest.mark.parametrize("place", [0, 300, -1])
def test_damaged_weights_are_noticed_and_trained_again(cache, printed, place):
    # What is loaded is a view of the file.
    kept, file = copied(early(cache, 2)), rewind_file(cache / dense_key(IDENTITY), 2)
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)

    assert equal(early(cache, 2), kept)
    assert "is damaged" in printed[0]


def test_training_them_again_continues_where_it_was_interrupted(cache, printed):
    with pytest.raises(BrokenOffError):
        early(cache, 3, BreakOffAt(2))
    printed.clear()
    state = early(cache, 3)

    assert len(printed) == 3
    assert printed[1].endswith("with epoch 3/3, where it was interrupted")
    assert all(torch.isfinite(value).all() for value in state.values())
