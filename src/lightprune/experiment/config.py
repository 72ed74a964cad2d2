"""The config: its top level as a schema, its parts as typed objects, the checks that cross them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger
from omegaconf import MISSING, DictConfig, OmegaConf

from lightprune.data.sources import Source
from lightprune.errors import InputError, check_folder, check_number, check_path
from lightprune.experiment.config_checks import (
    check_accumulation,
    check_processes,
    check_regrowth,
    check_rewinding,
)
from lightprune.models.model import Model
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.schedules import Plan, Schedule
from lightprune.pruning.targets import Targets
from lightprune.runs.identity import config_hash, identity_of, run_name
from lightprune.training.recipe import Recipe
from lightprune.training.trainer import TrainerConfig


@dataclass
class DenseOptions:
    """Where the dense network comes from.

    Attributes:
        checkpoint: One's own weights instead of a training.
        cache_dir: Where trained dense networks are kept and found.
        rewind_epoch: After how many of its epochs `pruner.weights=rewind` takes the weights.
    """

    checkpoint: str | None = None
    cache_dir: str = "outputs/dense"
    rewind_epoch: int = 0


@dataclass
class Config:
    """The top level; the groups are checked by the classes they name.

    Attributes:
        seed: Of everything random.
        name: Of the run's (or the sweep's) folder; None takes what was asked.
        plan_only: Show what would happen and stop.
        force: Start afresh in a folder that holds another run.
    """

    model: Any = MISSING
    data: Any = MISSING
    recipe: Any = MISSING
    pruner: Any = MISSING
    schedule: Any = MISSING
    trainer: Any = MISSING
    logger: Any = MISSING
    dense: DenseOptions = field(default_factory=DenseOptions)
    seed: int = 0
    name: str | None = None
    plan_only: bool = False
    force: bool = False


@dataclass(frozen=True)
class Settings:
    """A checked config as typed parts.

    Attributes:
        asked: The resolved config without what does not change a result, for hashes and records.
    """

    model: Model
    source: Source
    recipe: Recipe
    pruner: Pruner | None
    targets: Targets
    plan: Plan
    trainer_config: TrainerConfig
    logger: DictConfig
    dense: DenseOptions
    seed: int
    plan_only: bool
    force: bool
    asked: dict[str, Any]

    @property
    def digest(self) -> str:
        """Equal for configs that ask for the same result."""
        return config_hash(self.asked)

    @property
    def rewinds_to(self) -> int | None:
        """After how many dense epochs the weights are that events go back to; None if they stay."""
        rewinds = self.pruner is not None and self.pruner.weights == "rewind"
        return self.dense.rewind_epoch if rewinds else None

    def loggers(self, folder: Path) -> Sequence[Logger]:
        """The loggers of a phase, writing below its folder."""
        if not self.logger:
            return []
        try:
            logger = build(self.logger, Logger, "logger")(save_dir=folder)
        except ModuleNotFoundError as error:
            raise InputError(
                f"logger={self.logger['_target_']}: its package is not installed ({error}); "
                "allowed are tensorboard, none, and after pip install '.[wandb,mlflow]' the others"
            ) from error
        if not isinstance(logger, Logger):
            raise InputError(
                f"logger={self.logger['_target_']}: makes no logger of Lightning; allowed is one"
            )
        return [logger]


def register() -> None:
    """Makes the schema and the resolvers of `configs/` known to Hydra."""
    ConfigStore.instance().store(name="schema", node=Config)
    OmegaConf.register_new_resolver("run_name", run_name, replace=True)
    OmegaConf.register_new_resolver(
        "unless", lambda given, value: value if given is None else None, replace=True
    )


def settings(cfg: DictConfig) -> Settings:
    """Builds every part of a composed config and checks what crosses them.

    Raises:
        InputError: A setting is wrong; one line that names it.
    """
    resolved = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(resolved, dict)
    cfg = OmegaConf.create(resolved)
    check_number("seed", cfg.seed, 0, 2**31 - 1, whole=True)
    check_number("dense.rewind_epoch", cfg.dense.rewind_epoch, 0, whole=True)
    if cfg.dense.checkpoint is None:
        check_folder("dense.cache_dir", cfg.dense.cache_dir)
    else:
        check_path("dense.checkpoint", cfg.dense.checkpoint)
    recipe = build(cfg.recipe, Recipe, "recipe")
    trainer_config = build(cfg.trainer, TrainerConfig, "trainer")
    source = build(cfg.data, Source, "data")
    finetune = recipe.finetune
    pruner, plan = None, Plan((), finetune.epochs)
    if "_target_" in cfg.pruner:
        chosen = OmegaConf.masked_copy(cfg.pruner, [k for k in cfg.pruner if k != "targets"])
        pruner = build(chosen, Pruner, "pruner")
        plan = build(cfg.schedule, Schedule, "schedule").plan(finetune.epochs)
    check_processes(recipe, trainer_config)
    check_rewinding(recipe, pruner, plan, cfg.dense.rewind_epoch, cfg.dense.checkpoint)
    check_regrowth(pruner, plan)
    check_accumulation(pruner, plan, trainer_config)
    asked = identity_of(resolved)
    # What `auto` means depends on the machine, and results depend on what it means.
    asked["trainer"]["accelerator"] = "gpu" if trainer_config.on_gpu else "cpu"
    return Settings(
        model=build(cfg.model, Model, "model"),
        source=source,
        recipe=recipe,
        pruner=pruner,
        targets=build(cfg.pruner.targets, Targets, "pruner.targets"),
        plan=plan,
        trainer_config=trainer_config,
        logger=cfg.logger,
        dense=DenseOptions(**cfg.dense),
        seed=cfg.seed,
        plan_only=cfg.plan_only,
        force=cfg.force,
        asked=asked,
    )


def build(node: DictConfig, kind: type[Any], key: str) -> Any:
    """Calls the class that a config node names.

    Raises:
        InputError: It does not exist, refuses a setting, or makes something else than a `kind`.
    """
    try:
        built = instantiate(node, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, InputError):
            raise InputError(_located(str(cause), str(error), key)) from error
        reason = str(cause or error).replace("\n", " ")
        where = str(error).partition("full_key: ")[2].strip() or key
        raise InputError(
            f"{where}: cannot be built ({reason}); allowed is what the class takes"
        ) from error
    if not isinstance(built, kind) and not (kind is Logger and callable(built)):
        raise InputError(f"{key}={node}: makes no {kind.__name__}; allowed is a class that does")
    return built


def _located(message: str, error: str, key: str) -> str:
    """Completes the name in a message with the place in the config where it arose."""
    where = error.partition("full_key: ")[2].strip() or key
    return message if message.startswith(f"{key}.") else f"{_parent(where, message)}{message}"


def _parent(where: str, message: str) -> str:
    name = message.partition("=")[0]
    last = where.rpartition(".")[2]
    if name.partition(".")[0] == last:
        where = where.rpartition(".")[0]
    return f"{where}." if where else ""
