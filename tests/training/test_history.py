import csv

import pytest
from lightning import Callback
from rich import get_console

from lightprune.pruning.event_record import EventRecord
from lightprune.training.history import EpochHistory, EpochRow, print_event, write_rows
from tests.training.small import BreakOffAt, BrokenOffError, plan, session

COURSE = plan((0, 0.5), (2, 0.9))


def row(epoch=0, **settings):
    usual = {
        "phase": "dense",
        "epoch": epoch,
        "sparsity": 0.1 + 0.2,
        "learning_rate": 0.1,
        "train_loss": 1.5,
        "val_loss": 1e-20,
        "val_accuracy": 2 / 3,
        "seconds": 0.25,
    }
    return EpochRow(**{**usual, **settings})


def record(**settings):
    usual = {
        "epoch": 2,
        "target": 0.98,
        "sparsity": 0.98,
        "pruned": 10_943_574,
        "live_sparsity": 0.947,
        "distance": 0.5,
        "before": 0.87,
        "after": 0.5,
        "recovered": None,
        "emptied": (),
        "digest": "abc",
    }
    return EventRecord(**{**usual, **settings})


def read(file):
    """Rows of a CSV file as they were written."""
    with file.open() as text:
        return [
            EpochRow(r["phase"], int(r["epoch"]), *map(float, list(r.values())[2:]))
            for r in csv.DictReader(text)
        ]


def test_rows_are_written_and_read_back_exactly(tmp_path):
    rows = [row(), row(1, val_accuracy=0.1), row(2, phase="finetune")]
    write_rows(tmp_path / "deep" / "metrics.csv", rows)

    assert read(tmp_path / "deep" / "metrics.csv") == rows


def test_writing_replaces_the_file_and_leaves_nothing_else(tmp_path):
    file = tmp_path / "metrics.csv"
    write_rows(file, [row(), row(1)])
    write_rows(file, [row(2)])

    assert read(file) == [row(2)]
    assert list(tmp_path.iterdir()) == [file]


class Lengths(Callback):
    """Notes how many rows the file holds when an epoch starts."""

    def __init__(self, file):
        self.file, self.seen = file, []

    def on_train_epoch_start(self, trainer, pl_module):
        self.seen.append(len(read(self.file)) if self.file.exists() else 0)


def started(folder, *watchers):
    """A session with a history, which stands after the pruning callback."""
    made = session(folder, COURSE, *watchers)
    history = EpochHistory("finetune", folder / "metrics.csv", made.pruning)
    made.trainer.callbacks.insert(1, history)
    return made, history


def test_every_epoch_adds_a_row_to_the_file(tmp_path):
    lengths = Lengths(tmp_path / "metrics.csv")
    made, history = started(tmp_path, lengths)
    made.fit()

    assert lengths.seen == [0, 1, 2, 3]
    assert read(tmp_path / "metrics.csv") == history.rows
    assert [row.epoch for row in history.rows] == [0, 1, 2, 3]


def test_a_row_tells_what_its_epoch_ended_with(tmp_path):
    ends = []

    class Watch(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            seen, loss = pl_module.evaluation, float(trainer.callback_metrics["train/loss"])
            ends.append((rate, loss, seen.loss, seen.accuracy))

    made, history = started(tmp_path, Watch())
    made.fit()

    shares = [round(share * made.total) / made.total for share in (0.5, 0.5, 0.9, 0.9)]
    assert [row.sparsity for row in history.rows] == shares
    assert [
        (row.learning_rate, row.train_loss, row.val_loss, row.val_accuracy) for row in history.rows
    ] == ends
    assert all(row.seconds > 0 and row.phase == "finetune" for row in history.rows)


def test_rows_go_through_a_checkpoint(tmp_path):
    made, history = started(tmp_path)
    made.fit()
    _, other = started(tmp_path / "other")

    other.load_state_dict(history.state_dict())

    assert other.rows == history.rows


def test_a_resumed_run_completes_the_file(tmp_path, capsys):
    made, _ = started(tmp_path, BreakOffAt(2))
    with pytest.raises(BrokenOffError):
        made.fit()
    made.trainer.save_checkpoint(tmp_path / "broken.ckpt")
    (tmp_path / "metrics.csv").unlink()

    resumed, history = started(tmp_path)
    resumed.fit(tmp_path / "broken.ckpt")

    assert [row.epoch for row in history.rows][:2] == [0, 1]
    assert read(tmp_path / "metrics.csv") == history.rows
    assert capsys.readouterr().out.count("finetune continues with epoch 3/4") == 1


def test_an_event_is_told_in_one_line(capsys):
    print_event(record())

    printed = capsys.readouterr().out
    text = " ".join(printed.split())
    assert "pruned before epoch 3: sparsity 98.00% (" in text
    assert "10,943,574 zeros, live 94.70%" in text
    assert "validation 87.00% -> 50.00%" in text
    assert "warning" not in text


def test_an_event_that_misses_its_target_tells_both(capsys):
    print_event(record(target=0.975))

    assert "sparsity 97.50% -> 98.00% (" in " ".join(capsys.readouterr().out.split())


def test_the_accuracy_after_recalibration_is_told_beside_the_one_before_it(capsys):
    print_event(record(recalibrated=0.625))

    printed = " ".join(capsys.readouterr().out.split())
    assert printed.endswith("validation 87.00% -> 50.00%, 62.50% with batch norms recalibrated")


def test_an_event_stays_in_one_line_on_a_narrow_console(capsys, monkeypatch):
    monkeypatch.setattr(get_console(), "_width", 40)
    print_event(record())

    assert len(capsys.readouterr().out.splitlines()) == 1


def test_emptied_layers_are_told_as_a_warning(capsys):
    print_event(record(emptied=("layer4.1.conv1.weight", "layer4.1.conv2.weight")))

    _, warning = capsys.readouterr().out.rstrip().splitlines()
    assert warning.startswith("warning: nothing is left of layer4.1.conv1.weight, layer4.1.conv2")


def test_every_epoch_and_event_is_told(tmp_path, capsys):
    started(tmp_path)[0].fit()

    lines = capsys.readouterr().out.splitlines()
    kinds = [line.split()[0] for line in lines if line.startswith(("pruned", "finetune"))]
    assert kinds == ["pruned", "finetune", "finetune"] * 2
    assert any("finetune epoch 4/4" in line and "sparsity 89.99%" in line for line in lines)
