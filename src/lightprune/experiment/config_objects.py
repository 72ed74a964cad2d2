"""Builds the objects of config nodes; a failure is one line that names the key."""

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning import Callback
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from lightprune.errors import InputError
from lightprune.training.run_loggers import TrackedRun


def build(node: DictConfig, kind: type[Any], key: str) -> Any:
    """Instantiates the class that the config node at `key` names.

    Raises:
        InputError: The class does not exist, refuses a setting, or makes no `kind`.
    """
    try:
        built = instantiate(node, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, InputError):
            raise InputError(_with_full_key(str(cause), str(error), key)) from error
        reason = str(cause or error).replace("\n", " ")
        full_key = str(error).partition("full_key: ")[2].strip() or key
        if not f"{full_key}.".startswith(f"{key}."):
            full_key = f"{key}.{full_key}"
        raise InputError(
            f"{full_key}: cannot be built ({reason}); allowed is what the class takes"
        ) from error
    if not isinstance(built, kind):
        raise InputError(f"{key}={node}: makes no {kind.__name__}; allowed is a class that does")
    return built


def build_callbacks(node: Any) -> dict[str, Callback]:
    """Makes the user's callbacks, by their names in the config.

    Raises:
        InputError: One cannot be made.
    """
    names = _names("callbacks", node)
    return {name: build(node[name], Callback, f"callbacks.{name}") for name in names}


def build_loggers(node: Any, run: TrackedRun) -> list[Logger]:
    """Makes the loggers of a run.

    Raises:
        InputError: One cannot be made, or its package is not installed.
    """
    loggers = []
    for name in _names("logger", node):
        settings = run.fill_in(OmegaConf.to_container(node[name]))
        try:
            loggers.append(build(OmegaConf.create(settings), Logger, f"logger.{name}"))
        except InputError as error:
            cause = error.__cause__ and error.__cause__.__cause__
            if not isinstance(cause, ModuleNotFoundError):
                raise
            raise InputError(
                f"logger={name}: its package is not installed ({cause}); allowed are tensorboard, "
                "none, and after pip install '.[wandb,mlflow]' the others"
            ) from error
    return loggers


def _names(key: str, node: Any) -> list[str]:
    if not isinstance(node, DictConfig) or "_target_" in node:
        raise InputError(
            f"{key}={node}: allowed are names, each with a class (NAME: {{_target_: CLASS}})"
        )
    return [*map(str, node)]


def _with_full_key(message: str, error: str, key: str) -> str:
    """Completes the key at the start of a class's message by its parents in the config."""
    if message.startswith(f"{key}."):
        return message
    parent = error.partition("full_key: ")[2].strip() or key
    if message.partition("=")[0].partition(".")[0] == parent.rpartition(".")[2]:
        parent = parent.rpartition(".")[0]
    return f"{parent}.{message}" if parent else message
