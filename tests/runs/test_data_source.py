"""A run's data is found again by its record, however the command said where it lies."""

import os
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from lightprune.data.image_folder import ImageFolder
from lightprune.data.sources import Cifar10
from lightprune.errors import InputError
from lightprune.experiment.config import load_settings
from lightprune.experiment.config_paths import paths_of
from lightprune.experiment.schema import register_configs
from lightprune.export.load import spec_of_run
from lightprune.runs.data_source import data_source
from lightprune.runs.folder import RunFolder
from tests.export.finished import run_record

CONFIGS = Path(__file__).parents[2] / "configs"


def recorded(folder, *words):
    """The record of a run that a command started in a folder, written and read."""
    register_configs()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        settings = load_settings(compose("train", list(words)), folder)
    RunFolder(folder).complete(run_record(settings.identity, paths=paths_of(settings.config)))
    return RunFolder(folder).record()


@pytest.mark.parametrize(
    ("word", "root"),
    [
        ("data.root='/a b/c, d=1'", "/a b/c, d=1"),
        ('data.root="/a, b/it\'s"', "/a, b/it's"),
        ("data.root=my/images", "{folder}/my/images"),
        ("data.root='~/images'", "{home}/images"),
        ("++data.root=/images", "/images"),
    ],
)
def test_the_root_is_that_of_the_run(tmp_path, word, root):
    source = data_source(recorded(tmp_path, "data=images", word, "data.size=24"))

    assert isinstance(source, ImageFolder)
    assert source.root == root.format(folder=tmp_path, home=Path.home())
    assert source.size == 24


def test_a_root_that_no_word_of_the_command_gives_is_known(tmp_path):
    own = tmp_path / "own" / "data"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("defaults: [images, _self_]\nroot: birds, 2/x\n")
    record = recorded(tmp_path, "data=mine", f"hydra.searchpath=[file://{own.parent}]")

    assert data_source(record).root == f"{tmp_path}/birds, 2/x"


def test_a_default_root_starts_where_the_command_did_and_nothing_is_downloaded(tmp_path):
    source = data_source(recorded(tmp_path, "data=cifar10"))

    assert isinstance(source, Cifar10)
    assert (source.root, source.download) == (str(tmp_path / "data"), False)


def test_another_root_is_taken_and_data_that_lie_in_no_folder_have_none(tmp_path):
    record = recorded(tmp_path, "data=images", "data.root=/images")

    assert data_source(record, tmp_path).root == str(tmp_path)
    with pytest.raises(InputError, match=r"--data-root=x: Digits lie in no folder"):
        data_source(recorded(tmp_path, "data=digits"), Path("x"))


@pytest.mark.parametrize("place", ["writable", "gone", "no folder"])
def test_decoded_images_are_looked_for_where_the_run_kept_them_if_that_is_possible(tmp_path, place):
    cache = tmp_path / "cache"
    if place == "writable":
        cache.mkdir()
    record = recorded(tmp_path, "data=digits", f"data.cache_dir={cache}")
    if place == "no folder":
        record.paths["data.cache_dir"] = os.devnull + "/cache"

    expected = str(cache) if place == "writable" else "outputs/data"
    assert data_source(record).cache_dir == expected


def test_the_shape_of_the_images_is_kept_or_else_that_of_the_config(tmp_path):
    record = recorded(tmp_path, "data=images", "data.root=/images", "data.size=24")
    wide = run_record(record.config, input_shape=(3, 8, 24))

    assert spec_of_run(record).input_shape == (3, 24, 24)
    assert spec_of_run(wide).input_shape == (3, 8, 24)
    assert spec_of_run(recorded(tmp_path, "data=cifar10")).input_shape == (3, 32, 32)
