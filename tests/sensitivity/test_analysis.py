"""What follows from a scan under each kind of question, and the command it ends in."""

import shlex
from dataclasses import replace

import pytest

from lightprune.errors import InputError
from lightprune.sensitivity.analysis import Question, suitable, survey
from lightprune.sensitivity.calibration_data import Sample
from lightprune.sensitivity.loaded_run import Which, read_subject
from lightprune.sensitivity.output import command
from tests.export.finished import change_record
from tests.sensitivity.conftest import quiet
from tests.system.tiny import tiny_resnet

FEW = Sample(images=60, batches=1)


def read(run, network="dense"):
    return read_subject(run, Which(network, constructor=tiny_resnet), FEW)


def asked(subject, allocation):
    """The words of the printed command by their key."""
    words = shlex.split(command(subject, allocation))
    return dict(word.partition("=")[::2] for word in words)


def test_a_tolerance_may_take_the_place_of_a_total(run):
    subject = read(run)
    found = survey(subject, Question((0.9,), drop=100), quiet).allocation
    words = asked(subject, found)

    assert found.zeros == {n: round(0.9 * w.numel()) for n, w in subject.weights.items()}
    assert float(words["schedule.sparsity"]) == pytest.approx(0.9, abs=1e-3)
    assert "hydra.run.dir" not in words
    assert words["data"] == "digits"


def test_the_pruned_network_may_be_scanned(run):
    subject = read(run, "pruned")
    size = sum(weight.numel() for weight in subject.weights.values())
    found = survey(subject, Question((0.98,), target=0.9), quiet)

    assert subject.zeros == sum(layer.start for layer in found.scan.layers)
    assert [joint.zeros for joint in found.joint] == [round(0.9 * size)] * 3


def test_a_floor_is_kept(copy):
    def change(record):
        record["config"]["pruner"]["floor"] = 0.15

    change_record(copy, change)
    subject = read(copy)
    found = survey(subject, Question((0.5, 0.9), target=0.84), quiet).allocation

    for name, zeros in found.zeros.items():
        assert zeros <= 0.85 * subject.weights[name].numel()
    with pytest.raises(InputError, match=r"--target=0\.86: is outside"):
        survey(subject, Question((0.5, 0.9), target=0.86), quiet)


@pytest.mark.parametrize(
    ("criterion", "said"),
    [
        ("lightprune.pruning.Snip", "Snip, needs more than a layer's weights"),
        ("mine.Own", "Own, is none of lightprune's own"),
    ],
)
def test_magnitude_stands_in_for_criteria_that_cannot_score_a_layer(copy, criterion, said):
    def change(record):
        record["config"]["pruner"]["criterion"] = {"_target_": criterion}

    change_record(copy, change)
    (note,) = read(copy).notes

    assert said in note
    assert note.endswith("layers are pruned by magnitude")


def test_a_run_that_pruned_nothing_needs_a_target(copy):
    def change(record):
        record["config"]["pruner"] = {"targets": record["config"]["pruner"]["targets"]}
        record["cost"]["nnz"] = record["cost"]["weights"]

    change_record(copy, change)
    subject = read(copy)

    with pytest.raises(InputError, match=r"--target: the run pruned nothing.*in \(0, 1\)"):
        survey(subject, Question((0.9,)), quiet)
    words = asked(subject, survey(subject, Question((0.9,), target=0.6), quiet).allocation)
    assert (words["pruner"], words["schedule.sparsity"]) == ("global", "0.6")
    assert subject.notes == ("the run pruned nothing: layers are pruned by magnitude",)


def test_a_run_that_validated_on_the_test_set_is_measured_on_training_images(copy):
    change_record(copy, lambda record: record["config"]["data"].update(validation="test"))

    assert "accuracy here is that on training images" in read(copy).notes[0]


def test_a_sweeps_own_command_is_not_repeated(copy):
    change_record(copy, lambda record: record.update(command=f"{record['command']} -m seed=0,1"))
    subject = read(copy)
    found = survey(subject, Question((0.9,)), quiet).allocation

    assert "train.py ... 'pruner.sparsities=[[conv1.weight,0." in command(subject, found)


def test_a_run_of_several_nodes_is_repeated_by_the_program_that_composes(copy):
    subject = read(copy)
    own = "/some/where/lightprune/experiment.py run.yaml outputs/run"
    subject = replace(subject, record=replace(subject.record, command=own))
    found = survey(subject, Question((0.9,)), quiet).allocation

    assert command(subject, found).startswith("python train.py ... 'pruner.sparsities=[[conv1.")


@pytest.mark.parametrize("total", [0.0, 0.5, 0.9, 0.98, 0.998])
def test_the_usual_sparsities_reach_beyond_any_total(total):
    found = suitable(total)

    assert list(found) == sorted(set(found))
    assert total < found[-1] < 1
    assert len(found) <= 7
