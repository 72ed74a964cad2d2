import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightprune.data.images import ImageSet
from lightprune.data.validation_split import check_class_sizes, default_count, stratified_split
from lightprune.errors import InputError


def numbered(labels):
    images = torch.arange(len(labels)).view(-1, 1, 1, 1).repeat(1, 1, 1, 3)
    return ImageSet(images, torch.tensor(labels))


def numbers(images):
    return images.images[:, 0, 0, 0].tolist()


@given(
    sizes=st.lists(st.integers(5, 30), min_size=2, max_size=5),
    share=st.floats(0.2, 0.8),
    order=st.randoms(use_true_random=False),
)
def test_a_split_is_exact_disjoint_stratified_and_always_the_same(sizes, share, order):
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    order.shuffle(labels)
    images, count = numbered(labels), round(share * len(labels))

    rest, chosen = stratified_split(images, count)

    assert len(chosen) == count
    assert sorted(numbers(rest) + numbers(chosen)) == list(range(len(labels)))
    for label, size in enumerate(sizes):
        expected = size * count / len(labels)
        assert abs(int((chosen.labels == label).sum()) - expected) <= 1
    again = stratified_split(images, count)
    assert [numbers(part) for part in again] == [numbers(rest), numbers(chosen)]


def test_both_sides_of_a_split_keep_the_order_and_the_labels_of_the_images():
    labels = [0, 1, 2] * 10

    for part in stratified_split(numbered(labels), 12):
        assert numbers(part) == sorted(numbers(part))
        assert part.labels.tolist() == [labels[number] for number in numbers(part)]


@pytest.mark.parametrize("count", [2, 28, 30, 31, 5000])
def test_a_split_that_leaves_a_class_out_is_refused_by_name(count):
    with pytest.raises(InputError, match=f"data.validation={count}: of 30 training images"):
        stratified_split(numbered([0, 1, 2] * 10), count)


@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=4),
    share=st.floats(0.01, 0.99),
)
def test_a_split_is_refused_or_leaves_every_class_on_both_sides(sizes, share):
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    try:
        parts = stratified_split(numbered(labels), max(round(share * len(labels)), 1))
    except InputError:
        return

    for part in parts:
        assert set(part.labels.tolist()) == set(range(len(sizes)))


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ([20, 20, 20], 6),
        ([1000] * 2, 200),
        ([5] * 10, 10),
        ([2, 2], 2),
        ([3], 1),
        ([30000] * 2, 5000),
    ],
)
def test_a_tenth_of_the_images_at_most_5000_are_for_validation_by_default(sizes, count):
    assert (
        default_count(numbered([label for label, n in enumerate(sizes) for _ in range(n)])) == count
    )


@given(sizes=st.lists(st.integers(2, 60), min_size=1, max_size=6))
def test_the_default_leaves_every_class_on_both_sides(sizes):
    images = numbered([label for label, size in enumerate(sizes) for _ in range(size)])

    for part in stratified_split(images, default_count(images)):
        assert set(part.labels.tolist()) == set(range(len(sizes)))


@pytest.mark.parametrize(
    ("sizes", "named"),
    [
        ([5, 1, 5], "1 of 3 classes have too few training images to split: bee (1); "),
        ([1, 1], "2 of 2 classes have too few training images to split: ant (1), bee (1); "),
        (
            [1] * 3,
            "3 of 3 classes have too few training images to split: ant (1), bee (1), cat (1)",
        ),
    ],
)
def test_classes_with_too_few_images_are_named_with_the_least_count(sizes, named):
    images = numbered([label for label, size in enumerate(sizes) for _ in range(size)])

    with pytest.raises(InputError) as caught:
        check_class_sizes(images, ("ant", "bee", "cat")[: len(sizes)], 3)

    assert str(caught.value).startswith(f"data.validation=3: {named}")
    assert "allowed are at least 2 a class" in str(caught.value)
