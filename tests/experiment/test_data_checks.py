"""Settings that do not fit the number of images, and the values that are proposed instead."""

import re

import pytest
import torch

from lightprune.data.images import ImageDataset, ImageSet
from lightprune.errors import InputError
from lightprune.experiment.config import load_settings
from lightprune.experiment.data_checks import resolve_data_sizes
from tests.experiment.test_config import composed


def pictures(*sizes, own_validation=False):
    """Classes of so many training images."""
    labels = torch.tensor([label for label, size in enumerate(sizes) for _ in range(size)])
    images = ImageSet(torch.zeros(len(labels), 1, 1, 3, dtype=torch.uint8), labels)
    names = tuple(f"class{label}" for label in range(len(sizes)))
    return ImageDataset(images, images, names, images if own_validation else None)


def fitted(data, *overrides):
    return resolve_data_sizes(load_settings(composed("data=images", *overrides)), data)


def refusal(data, *overrides):
    with pytest.raises(InputError) as caught:
        fitted(data, *overrides)
    return str(caught.value)


MOVEMENT = ("pruner/criterion=taylor", "pruner.criterion.batches=20")


@pytest.mark.parametrize(
    ("data", "overrides"),
    [
        (pictures(20, 20, 20), []),
        (pictures(20, 20, 20), ["data.validation=5000"]),
        (pictures(20, 20, 20), ["data.validation=2"]),
        (pictures(20, 20, 20), ["data.validation=0.001"]),
        (pictures(20, 20, 20), ["data.validation=test"]),
        (pictures(20, 20, 20), ["data.validation=none"]),
        (pictures(20, 20, 20), MOVEMENT),
        (pictures(20, 20, 20), ["recipe.finetune.recalibrate=99"]),
        (pictures(20, 20, 20, own_validation=True), []),
        (pictures(2, 300), ["data.validation=10"]),
        (pictures(2, 2), []),
        (pictures(40, 40), ["trainer=ddp_cpu"]),
    ],
)
def test_one_line_proposes_values_that_all_fit(data, overrides):
    message = refusal(data, *overrides)

    proposed = message.partition("; these fit: ")[2].split(" ")
    keys = [value.partition("=")[0] for value in proposed]
    assert re.findall(r"([\w.]+)=\S+(?=[,:])", message.partition(" not fit")[0]) == keys
    assert fitted(data, *overrides, *proposed)


def test_the_line_names_settings_images_and_values():
    assert refusal(pictures(20, 20, 20), "data.validation=5000") == (
        "data.validation=5000, recipe.dense.batch_size=256, recipe.finetune.batch_size=256: do not "
        "fit 60 training images of 3 classes; these fit: data.validation=6 "
        "recipe.dense.batch_size=8 recipe.finetune.batch_size=8"
    )


@pytest.mark.parametrize(("limit", "steps"), [("null", 5), (3, 2), (99, 5)])
def test_a_plan_of_steps_has_the_steps_that_are_trained(limit, steps):
    settings = fitted(
        pictures(*[50] * 6),
        "data.validation=none",
        "recipe.dense.batch_size=32",
        "recipe.finetune.batch_size=32",
        "recipe.finetune.epochs=2",
        "schedule.every_n_steps=1",
        "schedule.steps=2",
        "trainer.accumulate_grad_batches=2",
        f"trainer.limit_batches={limit}",
    )

    assert settings.plan.steps == 2 * steps


def test_too_few_steps_because_of_a_trial_are_refused_with_that_reason():
    overrides = ("data.validation=none", "recipe.dense.batch_size=32", "schedule=cubic")
    sizes = ("recipe.finetune.batch_size=32", "recipe.finetune.epochs=1", "trainer.limit_batches=2")

    assert refusal(pictures(*[50] * 6), *overrides, *sizes, "schedule.every_n_steps=4") == (
        "schedule.start=0, schedule.every_n_steps=4: do not fit the 2 optimizer steps of the "
        "training; allowed are fewer steps in sum, or more than trainer.limit_batches=2"
    )


def test_what_fits_is_accepted_as_it_is():
    settings = load_settings(composed("data=images", "data.validation=100"))

    assert resolve_data_sizes(settings, pictures(1000, 1000)) is settings


def test_no_setting_asks_for_the_same_as_the_number_it_stands_for():
    data = pictures(30000, 30000)

    assert fitted(data).config_hash == fitted(data, "data.validation=5000").config_hash
    assert fitted(pictures(1000, 1000)).source.validation == 200


def test_a_class_with_too_few_images_is_named():
    assert refusal(pictures(20, 1, 20)).startswith(
        "data.validation=null: 1 of 3 classes have too few training images to split: class1 (1)"
    )


def test_more_processes_than_images_are_refused():
    assert "1 training images are too few for 2 processes" in refusal(
        pictures(1, own_validation=True), "trainer=ddp_cpu"
    )
