"""Where results come from: the code's commit and the versions of what it ran on."""

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version

_PACKAGES = ("lightprune", "torch", "torchvision", "lightning", "torchmetrics", "hydra-core")


def commit() -> str:
    """The checkout's commit, with `-dirty` if it was changed; `unknown` outside of one."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return "unknown"
    return described.stdout.strip() or "unknown"


def short_commit(commit: str) -> str:
    """The first 12 digits of a commit, with its `-dirty` if it has one."""
    return commit[:12] + ("-dirty" if commit.endswith("-dirty") else "")


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide what a run ends with."""
    installed = {"python": python_version()}
    for name in _PACKAGES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            installed[name] = "unknown"
    return installed
