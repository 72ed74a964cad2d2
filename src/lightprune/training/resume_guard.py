"""Refuses to resume from a checkpoint of another run."""

from collections.abc import Mapping
from typing import Any

from lightning import Callback

from lightprune.errors import InputError
from lightprune.runs.identity import diff_configs


class ResumeGuard(Callback):
    """Keeps the run's identity in every checkpoint, and compares it on resume.

    Stands before the callbacks that restore more. Data, recipe, seed and the number of processes
    change no name and no shape, so without it a checkpoint of another run would be continued in
    silence. An identity is made of mappings, lists and plain values.
    """

    def __init__(self, identity: Mapping[str, Any]) -> None:
        self._identity = dict(identity)

    def state_dict(self) -> dict[str, Any]:
        return {"identity": self._identity}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for key, saved, expected in diff_configs(state_dict["identity"], self._identity):
            raise InputError(
                f"checkpoint: is of a run with {key}={saved}, this one has {expected}; allowed is "
                "a checkpoint of the same experiment, or none"
            )
