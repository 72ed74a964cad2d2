"""The `lightprune` command."""

import sys
from collections.abc import Sequence

from lightprune.cli.app import new_app, run_app
from lightprune.cli.bench import bench
from lightprune.cli.export import export
from lightprune.cli.filters import filters
from lightprune.cli.report import report
from lightprune.cli.sensitivity import sensitivity
from lightprune.cli.train import train
from lightprune.cli.warmup import warmup

_RENAMED = {
    "remaining": "python -m study status",
    "results": "python -m study publish",
    "--engines": "--backends",
    "--layers": "--profile",
    "--torch-prune": "--formats torch-prune",
}
# Each command imports what it needs itself: --help and a wrong option answer at once.
app = new_app(
    "Train and prune; report on finished runs, export them, measure and analyse their networks."
)
app.command(
    # What follows is Hydra's, --help too.
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)(train)
for command in (report, export, bench, sensitivity, filters, warmup):
    app.command()(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    return run_app(app, "lightprune", arguments, _RENAMED)


if __name__ == "__main__":
    sys.exit(main())
