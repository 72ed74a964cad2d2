import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from hypothesis import given
from hypothesis import strategies as st

from lightprune.data.augmentation import Augmentation
from lightprune.errors import InputError


def batch(count, height, width):
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8)


def by_torchvision(images, draws, crop, padding_mode):
    """Pads, crops and flips."""
    padded = TF.pad(images.permute(0, 3, 1, 2), [crop], padding_mode=padding_mode)
    return cropped_and_flipped(padded.permute(0, 2, 3, 1), draws, *images.shape[1:3])


def cropped_and_flipped(padded, draws, height, width):
    """Crops and flips image by image."""
    shifts, flips = draws.shifts.tolist(), draws.flips.tolist()
    results = []
    for image, (top, left), flip in zip(padded.permute(0, 3, 1, 2), shifts, flips, strict=True):
        cropped = TF.crop(image, top, left, height, width)
        results.append((TF.hflip(cropped) if flip else cropped).permute(1, 2, 0))
    return torch.stack(results)


SIZES = st.tuples(st.integers(3, 8), st.integers(3, 8))
FLIPS = st.sampled_from(["random", "alternate", "none"])


@given(size=SIZES, crop=st.integers(0, 9), flip=FLIPS, epoch=st.integers(0, 5))
def test_zero_padding_crops_and_flips_as_torchvision_does(size, crop, flip, epoch):
    augmentation = Augmentation(crop, "zero", flip)
    images = batch(5, *size)
    draws = augmentation.draw(5, 3, epoch)

    found = augmentation.apply(images, draws)

    assert torch.equal(found, by_torchvision(images, draws, crop, "constant"))


@given(size=SIZES, crop=st.integers(0, 2), flip=FLIPS, epoch=st.integers(0, 5))
def test_reflection_crops_and_flips_as_torchvision_does(size, crop, flip, epoch):
    augmentation = Augmentation(crop, "reflect", flip)
    images = batch(5, *size)
    draws = augmentation.draw(5, 3, epoch)

    found = augmentation.apply(images, draws)

    assert torch.equal(found, by_torchvision(images, draws, crop, "reflect"))


@given(height=st.integers(1, 4), width=st.integers(1, 4), crop=st.integers(0, 9))
def test_reflection_by_more_than_the_image_goes_on_back_and_forth(height, width, crop):
    augmentation = Augmentation(crop, "reflect", "none")
    images = batch(4, height, width)
    draws = augmentation.draw(4, 0, 0)

    found = augmentation.apply(images, draws)

    padded = np.pad(images.numpy(), [(0, 0), (crop, crop), (crop, crop), (0, 0)], mode="reflect")
    for number, (top, left) in enumerate(draws.shifts.tolist()):
        expected = padded[number, top : top + height, left : left + width]
        assert np.array_equal(found[number].numpy(), expected)


def test_alternate_flips_exactly_the_other_half_in_the_next_epoch():
    draws = [Augmentation(flip="alternate").draw(200, 5, epoch).flips for epoch in range(4)]

    assert torch.equal(draws[1], ~draws[0])
    assert torch.equal(draws[2], draws[0])
    assert torch.equal(draws[3], draws[1])
    assert 60 < draws[0].sum() < 140


def test_random_flips_differ_from_epoch_to_epoch():
    draws = [Augmentation(flip="random").draw(200, 5, epoch).flips for epoch in range(3)]

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
    second = augmentation.draw(50, seed, epoch)

    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@given(seed=st.integers(0, 2**31 - 1), epoch=st.integers(0, 500))
def test_another_epoch_gives_other_shifts_and_cutouts(seed, epoch):
    first, second = (Augmentation().draw(100, seed, e) for e in (epoch, epoch + 1))

    assert not torch.equal(first.shifts, second.shifts)
    assert not torch.equal(first.centres, second.centres)


@pytest.mark.parametrize("flip", ["random", "alternate"])
@given(seed=st.integers(0, 2**31 - 2))
def test_another_seed_gives_other_shifts_and_flips(flip, seed):
    augmentation = Augmentation(flip=flip)
    first, second = (augmentation.draw(100, s, 0) for s in (seed, seed + 1))

    assert not torch.equal(first.shifts, second.shifts)
    assert not torch.equal(first.flips, second.flips)


def test_shifts_reach_every_place_of_the_crop():
    shifts = Augmentation(crop=2).draw(2000, 0, 0).shifts

    assert {tuple(shift) for shift in shifts.tolist()} == {
        (y, x) for y in range(5) for x in range(5)
    }


@given(size=SIZES, cutout=st.integers(1, 9), epoch=st.integers(0, 5))
def test_a_cutout_greys_one_square_around_a_pixel_and_nothing_else(size, cutout, epoch):
    height, width = size
    augmentation = Augmentation(0, flip="none", cutout=cutout)
    images = batch(5, height, width)
    draws = augmentation.draw(5, 3, epoch)

    found = augmentation.apply(images, draws)

    for image, (y, x), after in zip(images, draws.centres.tolist(), found, strict=True):
        top, left = int(y * height) - cutout // 2, int(x * width) - cutout // 2
        expected = image.clone()
        expected[max(top, 0) : top + cutout, max(left, 0) : left + cutout] = 128
        assert torch.equal(after, expected)


def test_a_cutout_is_drawn_apart_from_shifts_and_flips():
    plain, cut = (Augmentation(cutout=side).draw(50, 1, 2) for side in (0, 8))

    assert torch.equal(plain.shifts, cut.shifts)
    assert torch.equal(plain.flips, cut.flips)


@given(size=SIZES, cutmix=st.floats(0, 1), epoch=st.integers(0, 5))
def test_mixing_lays_one_rectangle_of_the_other_image_over_some(size, cutmix, epoch):
    height, width = size
    augmentation = Augmentation(cutmix=cutmix)
    images, others = batch(8, height, width), batch(8, height, width)
    draws = augmentation.draw(8, 3, epoch)

    found, kept = augmentation.mix(images, others, draws)

    for number, (chance, area, y, x) in enumerate(draws.mixes.tolist()):
        expected, scale = images[number].clone(), area**0.5 if chance < cutmix else 0
        tall, wide = round(scale * height), round(scale * width)
        top, left = int(y * height) - tall // 2, int(x * width) - wide // 2
        rows, columns = slice(max(top, 0), top + tall), slice(max(left, 0), left + wide)
        expected[rows, columns] = others[number, rows, columns]
        covered = torch.zeros(height, width)
        covered[rows, columns] = 1
        assert torch.equal(found[number], expected)
        torch.testing.assert_close(kept[number], 1 - covered.mean())


def test_mixing_takes_the_share_of_the_images_that_is_asked():
    augmentation = Augmentation(cutmix=0.25)
    images = batch(4000, 8, 8)

    _, kept = augmentation.mix(images, images, augmentation.draw(4000, 0, 0))

    # A few of those drawn get a rectangle of no pixels.
    assert 0.21 < float((kept < 1).float().mean()) < 0.26


@pytest.mark.parametrize("padding", ["zero", "reflect"])
@given(seed=st.integers(0, 99), epoch=st.integers(0, 9))
def test_no_crop_and_no_flip_leave_the_images_as_they_are(padding, seed, epoch):
    augmentation = Augmentation(0, padding, "none")
    images = batch(4, 5, 6)

    assert torch.equal(augmentation.apply(images, augmentation.draw(4, seed, epoch)), images)


def test_the_images_given_are_not_changed():
    augmentation = Augmentation(padding="zero", flip="random")
    images = batch(4, 5, 6)
    before = images.clone()

    augmentation.apply(images, augmentation.draw(4, 0, 0))

    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"crop": -1}, "augmentation.crop=-1: allowed is an integer at least 0"),
        ({"crop": 1.5}, "augmentation.crop=1.5: allowed is an integer"),
        ({"padding": "zeros"}, "augmentation.padding=zeros: .*did you mean zero"),
        ({"flip": "alternating"}, "augmentation.flip=alternating: .*did you mean alternate"),
        ({"cutout": -1}, "augmentation.cutout=-1: allowed is an integer at least 0"),
        ({"cutmix": 1.5}, "augmentation.cutmix=1.5: allowed is a number"),
        ({"flip": True}, "augmentation.flip=True: allowed are random, alternate, none"),
    ],
)
def test_a_bad_setting_is_refused_with_what_is_allowed(setting, message):
    with pytest.raises(InputError, match=message):
        Augmentation(**setting)


@given(
    size=SIZES,
    crop=st.integers(0, 2),
    flip=FLIPS,
    rotation=st.floats(0.1, 180),
    zoom=st.floats(0, 2),
    padding=st.sampled_from(["zero", "reflect"]),
)
def test_turns_and_zooms_as_torchvision_does_and_then_crops(
    size, crop, flip, rotation, zoom, padding
):
    augmentation = Augmentation(crop, padding, flip, rotation=rotation, zoom=zoom)
    images = batch(8, *size)
    draws = augmentation.draw(8, 1, 0)

    found = augmentation.apply(images, draws)

    # All that can come into view.
    margin = 40
    mode = "constant" if padding == "zero" else "reflect"
    pads = [(0, 0), (margin, margin), (margin, margin), (0, 0)]
    around = torch.from_numpy(np.pad(images.numpy(), pads, mode)).permute(0, 3, 1, 2)
    turned = [
        TF.affine(
            image,
            angle=rotation * angle,
            translate=[0, 0],
            scale=(1 + zoom) ** size_draw,
            shear=[0.0],
        )
        for image, (angle, size_draw) in zip(around, draws.affine.tolist(), strict=True)
    ]
    inner = slice(margin - crop, -margin + crop or None)
    turned = torch.stack(turned)[:, :, inner, inner].permute(0, 2, 3, 1)
    expected = cropped_and_flipped(turned, draws, *size)
    # A source halfway between two pixels may be rounded either way.
    assert (found != expected).any(-1).float().mean() < 0.1


@given(size=SIZES, color=st.floats(0.01, 1))
def test_colours_are_those_of_torchvision_up_to_its_rounding(size, color):
    augmentation = Augmentation(0, flip="none", color=color)
    images = batch(6, *size)
    draws = augmentation.draw(6, 1, 0)

    found = augmentation.apply(images, draws)

    for number, factors in enumerate((1 + color * draws.colors).tolist()):
        image = images[number].permute(2, 0, 1).float() / 255
        for adjust, factor in zip(
            (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation), factors, strict=True
        ):
            image = adjust(image, factor)
        expected = image.permute(1, 2, 0) * 255
        assert (found[number].float() - expected).abs().max() < 1


def test_a_single_channel_keeps_its_grey_under_saturation():
    augmentation = Augmentation(0, flip="none", color=1.0)
    images = torch.randint(0, 256, (8, 5, 5, 1), dtype=torch.uint8)
    draws = augmentation.draw(8, 1, 0)
    draws.colors[:, :2] = 0

    assert torch.equal(augmentation.apply(images, draws), images)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("rotation", 181), ("zoom", -0.1), ("zoom", 11), ("color", 1.5), ("rotation", "far")],
)
def test_bad_geometry_and_colours_are_one_line(setting, value):
    with pytest.raises(InputError, match=f"augmentation.{setting}={value}"):
        Augmentation(**{setting: value})
