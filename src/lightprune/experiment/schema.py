"""The config's schema for Hydra: what `configs/` is composed against, without torch."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from lightprune.errors import InputError, nearest
from lightprune.experiment.renamed_settings import RENAMED_KEYS, find_renamed_key


@dataclass
class DenseOptions:
    """Where the dense network comes from.

    Attributes:
        checkpoint: A file of your own dense weights, instead of a training.
        prefix: What the names of the network stand behind in a file that holds several.
        fresh: Patterns of what is not taken from given weights but drawn anew; the dense training
            then starts from these weights.
        keep_zeros: Hold the prunable weights at zero that are given as zero.
        cache_dir: The cache of trained dense networks.
        rewind_epoch: The dense epochs after which `pruner.weights=rewind` takes the weights.
    """

    checkpoint: str | None = None
    prefix: str | None = None
    fresh: list[str] = field(default_factory=list)
    keep_zeros: bool = False
    cache_dir: str = "outputs/dense"
    rewind_epoch: int = 0


@dataclass
class Config:
    """The top level of the config; the groups are checked by the classes they name.

    Attributes:
        seed: Of all random numbers.
        name: Of the run's (or the sweep's) folder; None names it by the config.
        plan_only: Print the plan, train nothing.
        force: Start afresh in a folder that holds another run.
    """

    model: Any = MISSING
    data: Any = MISSING
    recipe: Any = MISSING
    pruner: Any = MISSING
    schedule: Any = MISSING
    trainer: Any = MISSING
    logger: Any = MISSING
    callbacks: Any = MISSING
    dense: DenseOptions = field(default_factory=DenseOptions)
    seed: int = 0
    name: str | None = None
    plan_only: bool = False
    force: bool = False


def register_configs() -> None:
    """Registers the schema and a resolver of `configs/` with Hydra and OmegaConf."""
    ConfigStore.instance().store(name="schema", node=Config)
    OmegaConf.register_new_resolver(
        "unless", lambda other, value: value if other is None else None, replace=True
    )


def check_keys(cfg: DictConfig) -> None:
    """Checks the keys of a config: `+key=` gets past Hydra's own check.

    Raises:
        InputError: The schema lacks one, or it has been renamed.
    """
    config = OmegaConf.to_container(cfg)
    assert isinstance(config, dict)
    if key := find_renamed_key(config):
        raise InputError(f"{key}: has been renamed; allowed is {RENAMED_KEYS[key]}")
    _check_keys("", config, Config)
    _check_keys("dense.", config["dense"], DenseOptions)


def _check_keys(parent: str, keys: Iterable[Any], schema: type[Any]) -> None:
    options = [each.name for each in fields(schema)]
    for key in keys:
        if key not in options:
            raise InputError(
                f"{parent}{key}: no such key; allowed are {', '.join(options)}"
                f"{nearest(key, options)}"
            )
