"""What the settings of a logger become for a run."""

from lightprune.training.run_loggers import TrackedRun


def test_a_runs_values_are_filled_in_wherever_they_are_named(tmp_path):
    run = TrackedRun(tmp_path / "resnet18-s0-3dec", "0123", group=None)
    settings = {
        "save_dir": "{folder}",
        "names": ["{name}", {"id": "{id}"}, 3, None, 0.5, True],
        "group": "{group}",
        "text": "{other}",
    }

    assert run.fill_in(settings) == {
        "save_dir": str(tmp_path / "resnet18-s0-3dec"),
        "names": ["resnet18-s0-3dec", {"id": "0123"}, 3, None, 0.5, True],
        "group": None,
        "text": "{other}",
    }
