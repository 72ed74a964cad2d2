"""Dense networks that earlier versions cached are used on."""

import hashlib
import json

from lightprune.experiment.dense_cache import dense_folder, dense_key


def test_of_two_hashes_the_one_where_the_training_got_farther_is_taken(
    tmp_path,
):
    typed, real = ({"recipe": {"weight_decay": value}} for value in (0, 0.0))
    digest = hashlib.sha256(json.dumps(typed, sort_keys=True).encode()).hexdigest()
    new, earlier = tmp_path / dense_key(real), tmp_path / digest[:16]
    earlier.mkdir()
    assert dense_folder(tmp_path, typed) == new

    for folder, found in ((earlier, earlier), (new, new)):
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "checkpoints" / "last.ckpt").touch()
        assert dense_folder(tmp_path, typed) == found

    (earlier / "dense.json").touch()
    assert dense_folder(tmp_path, typed) == earlier
    assert dense_folder(tmp_path, real) == new

    (new / "dense.json").touch()
    assert dense_folder(tmp_path, typed) == new
