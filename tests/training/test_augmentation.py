import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from hypothesis import given
from hypothesis import strategies as st

from lightprune.errors import InputError
from lightprune.training.augmentation import Augmentation


def batch(count, height, width):
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8)


def by_torchvision(images, shifts, flips, crop, padding_mode):
    """Pads, crops and flips image by image."""
    height, width = images.shape[1:3]
    results = []
    for image, (top, left), flip in zip(images, shifts.tolist(), flips.tolist(), strict=True):
        padded = TF.pad(image.permute(2, 0, 1), [crop], padding_mode=padding_mode)
        cropped = TF.crop(padded, top, left, height, width)
        results.append((TF.hflip(cropped) if flip else cropped).permute(1, 2, 0))
    return torch.stack(results)


SIZES = st.tuples(st.integers(3, 8), st.integers(3, 8))
FLIPS = st.sampled_from(["random", "alternate", "none"])


@given(size=SIZES, crop=st.integers(0, 9), flip=FLIPS, epoch=st.integers(0, 5))
def test_zero_padding_crops_and_flips_as_torchvision_does(size, crop, flip, epoch):
    augmentation = Augmentation(crop, "zero", flip)
    images = batch(5, *size)
    shifts, flips = augmentation.draw(5, 3, epoch)

    found = augmentation.apply(images, shifts, flips)

    assert torch.equal(found, by_torchvision(images, shifts, flips, crop, "constant"))


@given(size=SIZES, crop=st.integers(0, 2), flip=FLIPS, epoch=st.integers(0, 5))
def test_reflection_crops_and_flips_as_torchvision_does(size, crop, flip, epoch):
    augmentation = Augmentation(crop, "reflect", flip)
    images = batch(5, *size)
    shifts, flips = augmentation.draw(5, 3, epoch)

    found = augmentation.apply(images, shifts, flips)

    assert torch.equal(found, by_torchvision(images, shifts, flips, crop, "reflect"))


@given(height=st.integers(1, 4), width=st.integers(1, 4), crop=st.integers(0, 9))
def test_reflection_by_more_than_the_image_goes_on_back_and_forth(height, width, crop):
    augmentation = Augmentation(crop, "reflect", "none")
    images = batch(4, height, width)
    shifts, flips = augmentation.draw(4, 0, 0)

    found = augmentation.apply(images, shifts, flips)

    padded = np.pad(images.numpy(), [(0, 0), (crop, crop), (crop, crop), (0, 0)], mode="reflect")
    for number, (top, left) in enumerate(shifts.tolist()):
        expected = padded[number, top : top + height, left : left + width]
        assert np.array_equal(found[number].numpy(), expected)


def test_alternate_flips_exactly_the_other_half_in_the_next_epoch():
    draws = [Augmentation(flip="alternate").draw(200, 5, epoch)[1] for epoch in range(4)]

    assert torch.equal(draws[1], ~draws[0])
    assert torch.equal(draws[2], draws[0])
    assert torch.equal(draws[3], draws[1])
    assert 60 < draws[0].sum() < 140


def test_random_flips_differ_from_epoch_to_epoch():
    draws = [Augmentation(flip="random").draw(200, 5, epoch)[1] for epoch in range(3)]

    assert all(60 < flips.sum() < 140 for flips in draws)
    assert 60 < (draws[0] ^ draws[1]).sum() < 140
    assert not torch.equal(draws[1], ~draws[2])


@given(
    seed=st.integers(0, 2**31 - 1),
    epoch=st.integers(0, 500),
    flip=FLIPS,
    crop=st.integers(1, 4),
)
def test_a_seed_and_an_epoch_always_give_the_same_draws(seed, epoch, flip, crop):
    augmentation = Augmentation(crop, flip=flip)
    first = augmentation.draw(50, seed, epoch)
    torch.rand(3)

    assert all(map(torch.equal, first, augmentation.draw(50, seed, epoch)))


@given(seed=st.integers(0, 2**31 - 1), epoch=st.integers(0, 500))
def test_another_epoch_gives_other_shifts(seed, epoch):
    augmentation = Augmentation()

    shifts = [augmentation.draw(100, seed, e)[0] for e in (epoch, epoch + 1)]

    assert not torch.equal(*shifts)


@pytest.mark.parametrize("flip", ["random", "alternate"])
@given(seed=st.integers(0, 2**31 - 2))
def test_another_seed_gives_other_shifts_and_flips(flip, seed):
    augmentation = Augmentation(flip=flip)
    first, second = (augmentation.draw(100, s, 0) for s in (seed, seed + 1))

    assert not torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


def test_shifts_reach_every_place_of_the_crop():
    shifts, _ = Augmentation(crop=2).draw(2000, 0, 0)

    assert {tuple(shift) for shift in shifts.tolist()} == {
        (y, x) for y in range(5) for x in range(5)
    }


@pytest.mark.parametrize("padding", ["zero", "reflect"])
@given(seed=st.integers(0, 99), epoch=st.integers(0, 9))
def test_no_crop_and_no_flip_leave_the_images_as_they_are(padding, seed, epoch):
    augmentation = Augmentation(0, padding, "none")
    images = batch(4, 5, 6)

    assert torch.equal(augmentation.apply(images, *augmentation.draw(4, seed, epoch)), images)


def test_the_images_given_are_not_changed():
    augmentation = Augmentation(padding="zero", flip="random")
    images = batch(4, 5, 6)
    before = images.clone()

    augmentation.apply(images, *augmentation.draw(4, 0, 0))

    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"crop": -1}, "augmentation.crop=-1: allowed is an integer at least 0"),
        ({"crop": 1.5}, "augmentation.crop=1.5: allowed is an integer"),
        ({"padding": "zeros"}, "augmentation.padding=zeros: .*did you mean zero"),
        ({"flip": "alternating"}, "augmentation.flip=alternating: .*did you mean alternate"),
        ({"flip": True}, "augmentation.flip=True: allowed are random, alternate, none"),
    ],
)
def test_a_bad_setting_is_refused_with_what_is_allowed(setting, message):
    with pytest.raises(InputError, match=message):
        Augmentation(**setting)
