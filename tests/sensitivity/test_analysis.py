"""What follows from a scan under each kind of question, and the command it ends in."""

import shlex
from dataclasses import replace

import pytest

from lightprune.errors import InputError
from lightprune.sensitivity.analysis import (
    AnalysisSettings,
    analyze_sensitivity,
    default_sparsities,
)
from lightprune.sensitivity.calibration_data import SampleSize
from lightprune.sensitivity.loaded_run import NetworkChoice, load_run
from lightprune.sensitivity.output import pruning_command
from tests.export.finished import change_record
from tests.sensitivity.conftest import quiet
from tests.system.tiny import tiny_resnet

FEW = SampleSize(images=60, batches=1)


def read(run, network="dense"):
    return load_run(run, NetworkChoice(network, constructor=tiny_resnet), FEW)


def asked(loaded, allocation):
    """The words of the printed command by their key."""
    words = shlex.split(pruning_command(loaded, allocation))
    return dict(word.partition("=")[::2] for word in words)


def test_a_tolerance_may_take_the_place_of_a_total(run):
    loaded = read(run)
    found = analyze_sensitivity(loaded, AnalysisSettings((0.9,), drop=100), quiet).allocation
    words = asked(loaded, found)

    assert found.zeros == {n: round(0.9 * w.numel()) for n, w in loaded.weights.items()}
    assert float(words["schedule.sparsity"]) == pytest.approx(0.9, abs=1e-3)
    assert "hydra.run.dir" not in words
    assert words["data"] == "digits"


def test_the_pruned_network_may_be_scanned(run):
    loaded = read(run, "pruned")
    size = sum(weight.numel() for weight in loaded.weights.values())
    found = analyze_sensitivity(loaded, AnalysisSettings((0.98,), target=0.9), quiet)

    assert loaded.zeros == sum(layer.start for layer in found.scan.layers)
    assert [joint.zeros for joint in found.joint.values()] == [round(0.9 * size)] * 3


def test_a_floor_is_kept(copy):
    def change(record):
        record["config"]["pruner"]["floor"] = 0.15

    change_record(copy, change)
    loaded = read(copy)
    found = analyze_sensitivity(loaded, AnalysisSettings((0.5, 0.9), target=0.84), quiet).allocation

    for name, zeros in found.zeros.items():
        assert zeros <= 0.85 * loaded.weights[name].numel()
    with pytest.raises(InputError, match=r"--target=0\.86: is outside"):
        analyze_sensitivity(loaded, AnalysisSettings((0.5, 0.9), target=0.86), quiet)


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
    loaded = read(copy)

    with pytest.raises(InputError, match=r"--target: the run pruned nothing.*in \(0, 1\)"):
        analyze_sensitivity(loaded, AnalysisSettings((0.9,)), quiet)
    words = asked(
        loaded,
        analyze_sensitivity(loaded, AnalysisSettings((0.9,), target=0.6), quiet).allocation,
    )
    assert (words["pruner"], words["schedule.sparsity"]) == ("global", "0.6")
    assert loaded.notes == ("the run pruned nothing: layers are pruned by magnitude",)


@pytest.mark.parametrize(("validation", "where"), [("test", "the test set"), ("none", "no images")])
def test_a_run_without_validation_images_is_measured_on_training_images(copy, validation, where):
    change_record(copy, lambda record: record["config"]["data"].update(validation=validation))
    note = f"the run validated on {where}: accuracy here is that on training images"

    assert read(copy).notes[0] == note


def test_a_sweeps_own_command_is_not_repeated(copy):
    change_record(copy, lambda record: record.update(command=f"{record['command']} -m seed=0,1"))
    loaded = read(copy)
    found = analyze_sensitivity(loaded, AnalysisSettings((0.9,)), quiet).allocation

    assert "train.py ... 'pruner.sparsities=[[conv1.weight,0." in pruning_command(loaded, found)


def test_a_run_of_several_nodes_is_repeated_by_the_program_that_composes(copy):
    loaded = read(copy)
    own = "/some/where/lightprune/experiment.py run.yaml outputs/run"
    loaded = replace(loaded, record=replace(loaded.record, command=own))
    found = analyze_sensitivity(loaded, AnalysisSettings((0.9,)), quiet).allocation

    assert pruning_command(loaded, found).startswith(
        "python train.py ... 'pruner.sparsities=[[conv1."
    )


@pytest.mark.parametrize("total", [0.0, 0.5, 0.9, 0.98, 0.998])
def test_the_usual_sparsities_reach_beyond_any_total(total):
    found = default_sparsities(total)

    assert list(found) == sorted(set(found))
    assert total < found[-1] < 1
    assert len(found) <= 7
