"""What a checkpoint belongs to: a run that would not continue it exactly is refused."""

from collections.abc import Mapping
from typing import Any

from lightning import Callback

from lightprune.errors import InputError
from lightprune.runs.identity import diff_configs


class ResumeGuard(Callback):
    """Keeps what was asked in every checkpoint; stands before the callbacks that restore more.

    Data, recipe, seed and the number of processes change no name and no shape, so without it a
    checkpoint of another run would be continued in silence.
    """

    def __init__(self, asked: Mapping[str, Any]) -> None:
        """Takes what the run asks for: mappings, lists and plain values."""
        self._asked = dict(asked)

    def state_dict(self) -> dict[str, Any]:
        """What was asked."""
        return {"asked": self._asked}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Compares.

        Raises:
            InputError: The checkpoint is of a run that asked for something else.
        """
        for key, there, here in diff_configs(state_dict["asked"], self._asked):
            raise InputError(
                f"checkpoint: is of a run with {key}={there}, this one has {here}; allowed is a "
                "checkpoint of the same experiment, or none"
            )
