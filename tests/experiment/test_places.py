"""Every path in a config becomes absolute, wherever the job works."""

from pathlib import Path

import pytest

from lightprune.experiment.places import make_places_absolute, places_of


@pytest.mark.parametrize(
    ("given", "absolute"),
    [
        ("outputs/dense", "/first/outputs/dense"),
        ("/else/where", "/else/where"),
        ("~/dense", str(Path.home() / "dense")),
        ("it's, a=b", "/first/it's, a=b"),
        ("", ""),
        (None, None),
        (5, 5),
    ],
)
def test_paths_start_from_the_first_working_directory(given, absolute):
    config = {"data": {"root": given}, "dense": {"cache_dir": given}}
    make_places_absolute(config, Path("/first"))

    assert config == {"data": {"root": absolute}, "dense": {"cache_dir": absolute}}
    known = {"data.root": absolute, "dense.cache_dir": absolute}
    assert places_of(config) == (known if isinstance(absolute, str) else {})
