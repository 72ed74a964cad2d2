from itertools import chain

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from lightning import Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy
from torchvision.transforms import Compose, Normalize, ToTensor

from lightprune.data.augmentation import Augmentation
from lightprune.data.datamodule import (
    EvaluationBatches,
    ImageDataModule,
    Normalise,
    RankShard,
    TrainingBatches,
)
from lightprune.data.images import ImageDataset, ImageSet
from tests.training.small import STILL, InMemory, Workbench, image_set, labelled

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
AS_THEY_ARE = Normalise((0, 0, 0), (1, 1, 1))


def numbered(count):
    """Images that are labelled with their own number."""
    images = torch.randint(0, 256, (count, 4, 4, 3), dtype=torch.uint8)
    return ImageSet(images, torch.arange(count))


def training(images, batch_size, *, seed=1, epoch=0, shard=(0, 1), augmentation=STILL):
    return TrainingBatches(
        images,
        batch_size,
        augmentation,
        AS_THEY_ARE,
        seed,
        lambda: epoch,
        RankShard(*shard),
        classes=len(images),
    )


def labels(batches):
    return [batch[1].tolist() for batch in batches]


def same(first, second):
    """Whether two runs through batches gave equal images and labels."""
    first, second = list(first), list(second)
    return len(first) == len(second) and all(
        torch.equal(a, b)
        for one, other in zip(first, second, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def test_normalisation_equals_torchvisions():
    images = torch.randint(0, 256, (6, 5, 7, 3), dtype=torch.uint8)
    reference = Compose([ToTensor(), Normalize(MEAN, STD)])
    expected = torch.stack([reference(np.asarray(image)) for image in images])

    found = Normalise(MEAN, STD)(images)

    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def test_normalisation_leaves_the_pixels_as_they_are():
    images = torch.randint(0, 256, (2, 4, 4, 3), dtype=torch.uint8)
    before = images.clone()

    Normalise(MEAN, STD)(images)

    assert torch.equal(images, before)


@given(seed=st.integers(0, 2**31 - 1), epoch=st.integers(0, 300))
def test_a_seed_and_an_epoch_always_give_the_same_batches(seed, epoch):
    batches = training(numbered(30), 8, seed=seed, epoch=epoch, augmentation=Augmentation(2))
    first = list(batches)
    torch.rand(5)

    assert same(first, batches)


@given(trained=st.integers(1, 5), epoch=st.integers(0, 3))
def test_an_epoch_that_is_resumed_goes_on_after_the_batches_that_were_trained_on(trained, epoch):
    settings = {"epoch": epoch, "augmentation": Augmentation(1, cutmix=0.5)}
    batches = training(numbered(50), 8, **settings)
    whole, batches.processed = list(batches), lambda: trained
    batches.load_state_dict(batches.state_dict())

    assert same(batches, whole[trained:])
    assert same(batches, whole)


def test_an_epoch_after_the_resumed_one_is_whole():
    batches, later = training(numbered(50), 8), training(numbered(50), 8, epoch=1)
    batches.processed = lambda: 6
    later.load_state_dict(batches.state_dict())

    assert len(list(later)) == 6


@given(seed=st.integers(0, 2**31 - 2), epoch=st.integers(0, 300))
def test_another_epoch_gives_another_order(seed, epoch):
    images = numbered(64)

    orders = [labels(training(images, 64, seed=seed, epoch=e)) for e in (epoch, epoch + 1)]

    assert orders[0] != orders[1]


@given(seed=st.integers(0, 2**31 - 2), epoch=st.integers(0, 300))
def test_another_seed_gives_another_order(seed, epoch):
    images = numbered(64)

    orders = [labels(training(images, 64, seed=s, epoch=epoch)) for s in (seed, seed + 1)]

    assert orders[0] != orders[1]


@given(count=st.integers(1, 50), size=st.integers(1, 20), epoch=st.integers(0, 9))
def test_an_epoch_takes_every_image_at_most_once_in_whole_batches(count, size, epoch):
    batches = training(numbered(count), size, epoch=epoch)

    seen = labels(batches)

    assert [len(batch) for batch in seen] == [size] * (count // size) == [size] * len(batches)
    assert len(set(chain(*seen))) == count // size * size


def test_images_and_labels_stay_together():
    images = numbered(20)

    for pixels, numbers in training(images, 5):
        expected = images.images[numbers].permute(0, 3, 1, 2) / 255
        torch.testing.assert_close(pixels, expected)


@given(
    count=st.integers(1, 50),
    size=st.integers(1, 20),
    world=st.integers(2, 3),
    epoch=st.integers(0, 3),
    cutmix=st.sampled_from([0.0, 0.5, 1.0]),
    strength=st.sampled_from([0.0, 0.3]),
)
def test_the_ranks_batches_join_to_the_single_process_batch_in_order(
    count, size, world, epoch, cutmix, strength
):
    images = numbered(count)
    rotation = 100 * strength
    augmentation = Augmentation(1, cutmix=cutmix, rotation=rotation, zoom=strength, color=strength)
    settings = {"epoch": epoch, "augmentation": augmentation}
    whole = list(training(images, size, **settings))
    ranks = [list(training(images, size, shard=(r, world), **settings)) for r in range(world)]

    joined = [
        tuple(torch.cat(parts) for parts in zip(*batches, strict=True))
        for batches in zip(*ranks, strict=True)
    ]

    assert same(joined, whole)


@given(size=st.integers(2, 20), epoch=st.integers(0, 9))
def test_labels_of_mixed_images_tell_the_pixels_of_each(size, epoch):
    grey = torch.arange(40, dtype=torch.uint8)[:, None, None, None].expand(40, 4, 4, 3)
    mixing = Augmentation(0, flip="none", cutmix=0.7)

    for pixels, shares in training(
        ImageSet(grey, torch.arange(40)), size, epoch=epoch, augmentation=mixing
    ):
        values = (pixels[:, 0] * 255).round().long().flatten(1)
        counted = F.one_hot(values, 40).float().mean(1)
        torch.testing.assert_close(shares, counted)


@given(count=st.integers(1, 60), size=st.integers(1, 20), world=st.integers(1, 5))
def test_evaluation_covers_every_image_once_with_equally_many_batches_on_all_ranks(
    count, size, world
):
    images = numbered(count)
    ranks = [
        EvaluationBatches(images, AS_THEY_ARE, RankShard(r, world), size) for r in range(world)
    ]

    seen = [labels(rank) for rank in ranks]

    assert {len(batches) for batches in seen} == {len(ranks[0])} == {-(-count // size)}
    joined = chain(*zip(*seen, strict=True))
    assert list(chain(*joined)) == list(range(count))


def test_evaluation_takes_the_images_unchanged_and_in_order():
    images = numbered(7)

    pixels = torch.cat(
        [batch[0] for batch in EvaluationBatches(images, AS_THEY_ARE, RankShard(0, 1))]
    )

    torch.testing.assert_close(pixels, images.images.permute(0, 3, 1, 2) / 255)


def module(tmp_path, *, rng_key="dense", seed=0, validation=40, data=None):
    made = ImageDataModule(
        data or labelled(),
        InMemory(validation=validation),
        batch_size=32,
        augmentation=Augmentation(1),
        seed=seed,
        rng_key=rng_key,
    )
    made.trainer = Workbench().build(epochs=1, folder=tmp_path)
    return made


@pytest.mark.parametrize("other", [{"rng_key": "finetune"}, {"seed": 1}], ids=str)
def test_another_rng_key_or_seed_gives_other_batches(tmp_path, other):
    first = module(tmp_path).train_dataloader()

    assert same(first, module(tmp_path).train_dataloader())
    assert not same(first, module(tmp_path, **other).train_dataloader())


def test_another_rng_key_gives_other_shifts_too(tmp_path):
    one = ImageSet(image_set(1).images.expand(64, -1, -1, -1), torch.zeros(64, dtype=torch.int64))
    data = ImageDataset(one, one, ("a",))
    settings = {"validation": "test", "data": data}
    modules = [module(tmp_path, rng_key=name, **settings) for name in ("dense", "finetune")]

    assert not same(*(module.train_dataloader() for module in modules))


def test_training_and_validation_images_are_disjoint_and_the_test_images_are_the_test_images(
    tmp_path,
):
    count = 60
    images = torch.arange(count * 3, dtype=torch.uint8).view(count, 1, 1, 3)
    whole = ImageSet(images.expand(-1, 4, 4, -1), torch.arange(count) % 2)
    data = ImageDataset(whole, labelled().test, ("a", "b"))
    made = module(tmp_path, validation=20, data=data)
    made._augmentation = STILL

    def pixels(batches):
        return {tuple(image.flatten()[:3].tolist()) for batch, _ in batches for image in batch}

    train, validation = pixels(made.train_dataloader()), pixels(made.val_dataloader())

    assert len(train) == 32
    assert len(validation) == 20
    assert not train & validation
    assert sum(len(labels) for _, labels in made.test_dataloader()) == 40


def test_validation_on_the_test_set_trains_on_all_training_images(tmp_path):
    made = module(tmp_path, validation="test")

    assert len(made.train_dataloader().images) == 136
    assert same(made.val_dataloader(), made.test_dataloader())


def test_batches_follow_the_trainers_epoch(tmp_path):
    made = module(tmp_path)
    batches = made.train_dataloader()
    first = list(batches)

    made.trainer.fit_loop.epoch_progress.current.processed = 1
    made.trainer.fit_loop.epoch_progress.current.completed = 1

    assert made.trainer.current_epoch == 1
    assert not same(first, batches)


LOADERS = ["train_dataloader", "val_dataloader", "test_dataloader"]


def module_on(device):
    module = ImageDataModule(
        labelled(), InMemory(), batch_size=32, augmentation=STILL, seed=0, rng_key="finetune"
    )
    module.trainer = trainer_on(device)
    return module


def trainer_on(device):
    strategy = SingleDeviceStrategy(torch.device(device))
    return Trainer(accelerator="cpu", strategy=strategy, logger=False, enable_checkpointing=False)


# Every `.to` another device makes a copy, so that the same tensor again was not copied again.
@pytest.mark.parametrize("loader", LOADERS)
def test_images_are_copied_to_a_device_once_for_all_loaders(loader):
    module = module_on("meta")
    placed = [getattr(module, loader)().images for _ in range(3)]

    assert placed[0].images.device.type == "meta"
    assert all(images.images is placed[0].images for images in placed)
    assert all(images.labels is placed[0].labels for images in placed)


def test_every_part_of_the_data_is_placed_for_itself():
    module = module_on("meta")

    assert [len(getattr(module, loader)().images) for loader in LOADERS] == [96, 40, 40]


def test_another_device_gets_images_of_its_own():
    module = module_on("meta")
    module.val_dataloader()
    module.trainer = trainer_on("cpu")

    assert module.val_dataloader().images.images.device.type == "cpu"
    assert module.val_dataloader().images.images is module.val_dataloader().images.images
