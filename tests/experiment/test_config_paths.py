"""Every path in a config becomes absolute, wherever the job works."""

from pathlib import Path

import pytest

from lightprune.experiment.config_paths import make_paths_absolute


@pytest.mark.parametrize(
    ("given", "absolute"),
    [
        ("outputs/dense", "/first/outputs/dense"),
        ("/else/where", "/else/where"),
        ("~/dense", str(Path.home() / "dense")),
        ("it's, a=b", "/first/it's, a=b"),
        ("s3://bucket/images", "s3://bucket/images"),
        ("", ""),
        (None, None),
        (5, 5),
    ],
)
def test_paths_start_from_the_first_working_directory(given, absolute):
    config = {"data": {"root": given}, "dense": {"cache_dir": given}}
    make_paths_absolute(config, Path("/first"))

    assert config == {"data": {"root": absolute}, "dense": {"cache_dir": absolute}}
