"""Names of folders in letters that every system takes, whatever they are made of."""

import re

from hypothesis import given
from hypothesis import strategies as st

from lightprune.runs.folder_name import folder_name, run_words

HEX = st.text("0123456789abcdef", min_size=4, max_size=64)


@given(words=st.text(max_size=200), ending=HEX)
def test_a_name_is_short_plain_and_ends_as_it_must(words, ending):
    name = folder_name(words, "s0", ending)

    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,80}", name)
    assert name.endswith(f"-s0-{ending}")
    # What the Hugging Face Hub refuses.
    assert ".." not in name
    assert "--" not in name


def config(**changed):
    parts = {
        "model": {"constructor": {"_target_": "torchvision.models.resnet18"}},
        "data": {"_target_": "lightprune.data.ImageFolder", "root": "/pictures/my pets/"},
        "dense": {"checkpoint": None},
        "pruner": {
            **{"scope": "local", "weights": "keep", "unreachable": "rank"},
            "criterion": {"_target_": "lightprune.pruning.Taylor", "batches": 4},
        },
        "schedule": {"_target_": "lightprune.pruning.OneShot", "sparsity": 0.9424},
    }
    return {**parts, **changed}


def test_words_of_a_run_by_hand():
    amount = {"_target_": "mine.Own", "sparsity": None, "amount": 0.3}
    given = {"checkpoint": "/weights/best one.ckpt"}
    digits = {"_target_": "lightprune.data.Digits", "size": 32}

    assert folder_name(run_words(config()), "s0") == (
        "resnet18_my_pets_taylor_local_94.24_one_shot_batches_4-s0"
    )
    assert folder_name(run_words(config(data=digits, dense=given, schedule=amount))) == (
        "resnet18_digits_from_best_one_taylor_local_amount_30_own_batches_4"
    )
    assert run_words(config(pruner={"targets": {}})).split()[-1] == "control"
