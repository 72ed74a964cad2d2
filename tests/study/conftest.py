"""The real runs that reports are tested on, too."""

from tests.report.conftest import real, study

__all__ = ["real", "study"]
