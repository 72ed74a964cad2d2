"""Dense networks that earlier versions cached are used on."""

import hashlib
import json

from lightprune.experiment.dense_cache import dense_folder, dense_key


def test_a_complete_network_under_the_hash_of_numbers_as_they_were_typed_is_used(tmp_path):
    typed, real = ({"recipe": {"weight_decay": value}} for value in (0, 0.0))
    digest = hashlib.sha256(json.dumps(typed, sort_keys=True).encode()).hexdigest()
    new, earlier = tmp_path / dense_key(real), tmp_path / digest[:16]
    earlier.mkdir()
    assert dense_folder(tmp_path, typed) == new

    (earlier / "dense.json").touch()
    assert dense_folder(tmp_path, typed) == earlier
    assert dense_folder(tmp_path, real) == new

    new.mkdir()
    assert dense_folder(tmp_path, typed) == earlier
    (new / "dense.json").touch()
    assert dense_folder(tmp_path, typed) == new
