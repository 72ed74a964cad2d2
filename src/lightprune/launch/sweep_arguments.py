"""What the jobs of a sweep differ in, by the command line that starts it."""

import json
import os
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from hydra.errors import HydraException

from lightprune.runs.identity import SWEPT


def note_swept_values(overrides: Sequence[str], *, multirun: bool) -> None:
    """Tells this process and the jobs that it starts which values are swept over, if any are."""
    values = {}
    for text in overrides if multirun else ():
        try:
            (override,) = OverridesParser.create().parse_overrides([text])
        except HydraException:  # Hydra reports it.
            continue
        # A glob's options are told apart by their names.
        if override.is_discrete_sweep() and not isinstance(override.value(), Glob):
            key = override.get_key_element().lstrip("+")
            values[key] = list(override.sweep_string_iterator())
    os.environ[SWEPT] = json.dumps(values)
