"""Given weights fit the network, or one line says what differs and how to take the rest."""

from functools import partial

import pytest
import torch
from torchvision.models import shufflenet_v2_x0_5

from lightprune.errors import InputError
from lightprune.experiment.config import load_settings
from lightprune.experiment.dense_network import dense_network
from lightprune.experiment.dense_training import DenseTraining
from lightprune.experiment.preflight import preflight
from lightprune.experiment.pretrained import WeightsFile, given_weights, load_pretrained
from lightprune.pruning.targets import Targets
from tests.experiment.test_config import composed
from tests.system.entry import TINY
from tests.system.tiny import tiny_resnet
from tests.training.small import cnn, phase, small_setup


def written(folder, network, **others):
    file = folder / "own.pt"
    torch.save({**network.state_dict(), **others}, file)
    return WeightsFile(f"dense.checkpoint={file}", file)


def test_weights_of_another_dtype_are_cast_to_the_networks(tmp_path):
    network = cnn().half()
    given = load_pretrained(small_setup(), written(tmp_path, network))

    assert given.fresh == given.outside == ()
    assert torch.equal(given.state["0.weight"], network[0].weight.detach().float())


def test_fresh_layers_are_those_that_the_seed_draws(tmp_path):
    setup, network = small_setup(), cnn(num_classes=7)
    given = load_pretrained(setup, written(tmp_path, network), ["10.*", "1"])
    drawn = setup.new_network().state_dict()

    assert set(given.fresh) == {n for n in drawn if n.partition(".")[0] in ("1", "10")}
    for name, value in given.state.items():
        expected = drawn if name in given.fresh else network.state_dict()
        assert torch.equal(value, expected[name])


def test_counters_that_early_files_lack_are_as_in_a_new_network(tmp_path):
    counters = [name for name in cnn().state_dict() if name.endswith("num_batches_tracked")]
    file, network = tmp_path / "old.pt", cnn()
    torch.save({n: v for n, v in network.state_dict().items() if n not in counters}, file)
    for fresh in ([], ["1"]):
        given = load_pretrained(small_setup(), WeightsFile("dense.checkpoint=old.pt", file), fresh)

        assert len(counters) > 1
        assert all(given.state[name] == 0 for name in counters)
        assert torch.equal(given.state["0.weight"], network[0].weight)


def test_what_a_pattern_matches_in_the_file_alone_is_not_read(tmp_path):
    file = written(tmp_path, cnn(), **{"aux.weight": torch.ones(3)})

    assert load_pretrained(small_setup(), file, ["aux.*"]).fresh == ()


def test_a_pattern_of_the_file_alone_has_the_network_trained_all_the_same(tmp_path):
    file = written(tmp_path, cnn(), **{"aux.weight": torch.ones(3)})
    given = load_pretrained(small_setup(), file, ["aux.*"])
    training = DenseTraining(small_setup(), phase(1), tmp_path, {"recipe": {}}, given)
    state, record = dense_network(training)

    assert record.epochs == 1
    assert not torch.equal(state["0.weight"], given.state["0.weight"])


def checked(folder, *overrides):
    written(folder, tiny_resnet(), **{"aux.weight": torch.ones(3)})
    places = [f"data.cache_dir={folder}", f"dense.cache_dir={folder}"]
    own = [f"dense.checkpoint={folder / 'own.pt'}", *places, *overrides]
    return preflight(load_settings(composed("data=digits", "recipe=smoke", TINY, *own)))


def test_the_plan_and_the_run_agree_on_a_training_from_given_weights(tmp_path):
    run = checked(tmp_path, "dense.fresh=[aux.*]")

    assert run.settings.trains_dense
    assert run.needs_dense_training
    assert run.dense_folder == run.dense.folder


def test_nothing_learns_from_a_layer_that_nothing_has_trained(tmp_path):
    taught = ("recipe.finetune.distillation.weight=0.5", "recipe.dense.epochs=0")
    with pytest.raises(InputError, match=r"weight=0.5: .* leaves fc.weight, fc.bias of it as draw"):
        checked(tmp_path, "dense.fresh=[aux.*,fc.*]", *taught)

    assert checked(tmp_path, "dense.fresh=[aux.*]", *taught).pretrained.fresh == ()
    assert checked(tmp_path, "dense.fresh=[aux.*,fc.*]", taught[0]).needs_dense_training


@pytest.mark.parametrize(
    ("network", "others", "message"),
    [
        (
            partial(cnn, 7),
            {},
            r"is of another network: 10.weight is \(7, 8\) there and \(4, 8\) here "
            r"\(and 10.bias\); allowed are this network's weights, or dense.fresh=\[10.\*\], ",
        ),
        (
            cnn,
            {"aux.weight": torch.ones(3)},
            r"aux.weight is \(3,\) there and missing here; .*dense.fresh=\[aux.\*\]",
        ),
        (
            shufflenet_v2_x0_5,
            {},
            r"0.weight is missing there and \(8, 3, 3, 3\) here \(and 0.bias, 1.weight, 1.bias, "
            r"and \d+ more\); .*dense.fresh=\[PATTERN,...\]",
        ),
    ],
)
def test_what_differs_is_named_with_the_way_out(tmp_path, network, others, message):
    with pytest.raises(InputError, match=message):
        load_pretrained(small_setup(), written(tmp_path, network(), **others))


def test_of_two_networks_in_a_file_the_config_names_one(tmp_path):
    student, teacher = cnn(), cnn()
    teacher[0].weight.data[0] += 1
    states = {"student": student.state_dict(), "teacher": teacher.state_dict()}
    file = tmp_path / "own.pt"
    torch.save({f"{k}.{n}": t for k, state in states.items() for n, t in state.items()}, file)
    for own, state in states.items():
        settings = load_settings(composed(f"dense.checkpoint={file}", f"dense.prefix={own}"))
        given = load_pretrained(small_setup(), settings.pretrained)
        assert all(torch.equal(given.state[name], state[name]) for name in given.state)

    with pytest.raises(InputError, match=r"2 networks .*dense.prefix=student, dense.prefix=teach"):
        load_pretrained(
            small_setup(), load_settings(composed(f"dense.checkpoint={file}")).pretrained
        )


def test_a_pattern_that_matches_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"dense.fresh=fc.\*: matches nothing in the network or"):
        load_pretrained(small_setup(), written(tmp_path, cnn()), ["fc.*"])


def test_given_zeros_are_masks_but_for_fresh_layers(tmp_path):
    network = cnn()
    for layer in (0, 4):
        network[layer].weight.data[:2] = 0
    setup = small_setup()
    given = load_pretrained(setup, written(tmp_path, network), ["4.*"])
    masks = given.zeros(Targets().find(setup.new_network()))

    assert masks.pruned == network[0].weight[:2].numel()
    assert not masks["0.weight"][:2].any()


def test_torchvisions_weights_are_read_for_other_classes(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    constructor = {"_target_": "torchvision.models.shufflenet_v2_x0_5", "_partial_": True}
    model = {"constructor": {**constructor, "weights": "DEFAULT"}}
    file, bare = given_weights(None, model)
    published = shufflenet_v2_x0_5()
    file.path.parent.mkdir(parents=True)
    torch.save(published.state_dict(), file.path)
    setup = small_setup(network=shufflenet_v2_x0_5)

    assert bare == {"constructor": constructor}
    assert file.path.name == "shufflenetv2_x0.5-f707e7126e.pth"
    assert load_pretrained(setup, file, ["fc.*"]).fresh == ("fc.weight", "fc.bias")
    with pytest.raises(InputError, match=r"^model.constructor.weights=DEFAULT: .*fresh=\[fc.\*\]"):
        load_pretrained(setup, file)


def test_weights_that_cannot_be_fetched_are_named_with_their_place(tmp_path):
    file = WeightsFile("model.constructor.weights=X", tmp_path / "a.pth", "file:///nowhere/a.pth")
    with pytest.raises(InputError, match=r"weights=X: file:\S+ cannot be fetched .* the file as /"):
        load_pretrained(small_setup(), file)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["model.constructor.weights=IMAGENET"],
            r"model.constructor.weights=IMAGENET: allowed are IMAGENET1K_V1",
        ),
        (
            ["model=resnet20", "model.constructor.weights=DEFAULT"],
            r"model.constructor.weights=DEFAULT: torchvision has none of resnet20",
        ),
        (
            ["model.constructor.weights=DEFAULT", "dense.checkpoint=a.pt"],
            r"weights=DEFAULT with dense.checkpoint=\S+a.pt: allowed is one of them",
        ),
        (
            ["model.constructor.weights=DEFAULT", "pruner.weights=rewind"],
            r"weights=DEFAULT: does not hold the early weights",
        ),
        (
            ["recipe.finetune.freeze=[fc.*]", "pruner.weights=rewind"],
            r"recipe.finetune.freeze=\['fc.\*'\]: pruner.weights=rewind resets every layer",
        ),
    ],
)
def test_given_weights_that_cannot_be(overrides, message):
    with pytest.raises(InputError, match=message):
        load_settings(composed(*overrides))


@pytest.mark.parametrize("model", ["resnet18", "resnet18_cifar"])
def test_weights_are_taken_from_the_constructor(model):
    settings = load_settings(composed(f"model={model}", "model.constructor.weights=DEFAULT"))

    assert settings.pretrained.path.name == "resnet18-f37072fd.pth"
    assert "weights" not in settings.model.constructor.keywords
    assert not settings.trains_dense


def test_given_weights_with_fresh_layers_are_trained_first():
    own = "dense.checkpoint=a.pt"

    assert not load_settings(composed(own)).trains_dense
    assert load_settings(composed(own, "dense.fresh=[fc.*]")).trains_dense


@pytest.mark.parametrize(
    "default",
    [
        "dense.fresh=[]",
        "dense.keep_zeros=false",
        "dense.prefix=null",
        "recipe.finetune.freeze=[]",
    ],
)
def test_keys_at_their_default_are_in_no_identity(default):
    assert load_settings(composed(default)).identity == load_settings(composed()).identity
    changed = {"[]": "[fc.*]", "false": "true", "null": "student"}
    key, _, value = default.partition("=")
    other = load_settings(composed(f"{key}={changed[value]}"))

    assert other.config_hash != load_settings(composed()).config_hash
