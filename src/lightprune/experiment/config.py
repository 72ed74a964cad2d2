"""The config's parts as typed, checked objects."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from lightprune.data.sources import Source
from lightprune.errors import check_folder, check_number, check_path
from lightprune.experiment.config_checks import (
    check_accumulation,
    check_auto_peak,
    check_distillation,
    check_freezing,
    check_processes,
    check_regrowth_events,
    check_rewinding,
    check_tolerance,
    finetuning_plan,
)
from lightprune.experiment.config_objects import build, build_callbacks, build_loggers
from lightprune.experiment.config_paths import make_paths_absolute
from lightprune.experiment.pretrained import WeightsFile, given_weights
from lightprune.experiment.schema import DenseOptions, check_keys
from lightprune.models.model import Model
from lightprune.pruning.plan import Plan
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.schedules import Schedule
from lightprune.pruning.targets import Targets
from lightprune.runs.identity import config_hash, identity_of, parent_node
from lightprune.training.extra_callbacks import check_callbacks
from lightprune.training.recipe import Recipe
from lightprune.training.run_loggers import TrackedRun
from lightprune.training.trainer import TrainerConfig, uses_gpu


@dataclass(frozen=True)
class Settings:
    """A checked config as typed parts.

    Attributes:
        schedule: Of the events; None where nothing is pruned. One that counts steps makes its plan
            once the data are known.
        pretrained: The file of the weights that the run is given; None without.
        config: The resolved config, with absolute paths.
        identity: The config without the keys that do not change a result.
    """

    model: Model
    source: Source
    recipe: Recipe
    pruner: Pruner | None
    targets: Targets
    schedule: Schedule | None
    plan: Plan
    trainer_config: TrainerConfig
    logger: DictConfig
    callbacks: DictConfig
    dense: DenseOptions
    pretrained: WeightsFile | None
    seed: int
    plan_only: bool
    force: bool
    config: DictConfig
    identity: dict[str, Any]

    @property
    def config_hash(self) -> str:
        """Equal for configs with the same result."""
        return config_hash(self.identity)

    def with_plan(self, steps_per_epoch: int = 0) -> "Settings":
        """The settings with the plan of their schedule.

        It may count steps: `steps_per_epoch` are those of the optimizer in fine-tuning.

        Raises:
            InputError: The events do not fit the budget, or other settings.
        """
        plan, pruner, epoch = self.plan, self.pruner, self.dense.rewind_epoch
        if self.schedule is not None:
            plan = finetuning_plan(self.schedule, self.recipe, steps_per_epoch)
        check_rewinding(self.recipe, pruner, plan, epoch, self.pretrained)
        check_regrowth_events(pruner, self.schedule, plan)
        check_auto_peak(self.recipe.finetune, pruner, plan)
        check_tolerance(pruner, self.recipe.finetune, plan, self.source)
        check_accumulation(pruner, plan)
        return replace(self, plan=plan)

    @property
    def trains_dense(self) -> bool:
        """Whether the dense network is trained: from its own weights, or from given ones."""
        given_whole = self.pretrained is not None and not self.dense.fresh
        return self.recipe.dense.epochs > 0 and not given_whole

    @property
    def rewind_epoch(self) -> int | None:
        """The dense epochs after which the weights are that events rewind to; None without."""
        rewinds = self.pruner is not None and self.pruner.weights == "rewind"
        return self.dense.rewind_epoch if rewinds else None

    def loggers(self, run: TrackedRun) -> list[Logger]:
        """Returns the loggers of a run.

        Raises:
            InputError: One cannot be made, or its package is not installed.
        """
        return build_loggers(self.logger, run)


def load_settings(cfg: DictConfig, folder: Path | None = None) -> Settings:
    """Builds every part of a composed config and checks them, and what they require of each other.

    Relative paths in it start from `folder`; None is the working directory.

    Raises:
        InputError: A setting is wrong; one line that names it.
    """
    check_keys(cfg)
    resolved = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(resolved, dict)
    make_paths_absolute(resolved, folder or Path.cwd())
    cfg = OmegaConf.create(resolved)
    check_number("seed", cfg.seed, 0, 2**31 - 1, whole=True)
    check_number("dense.rewind_epoch", cfg.dense.rewind_epoch, 0, whole=True)
    if cfg.dense.checkpoint is not None:
        check_path("dense.checkpoint", cfg.dense.checkpoint)
    pretrained, bare_model = given_weights(
        cfg.dense.checkpoint, resolved["model"], cfg.dense.prefix
    )
    if pretrained is None or cfg.dense.fresh:
        check_folder("dense.cache_dir", cfg.dense.cache_dir)
    recipe = build(cfg.recipe, Recipe, "recipe")
    trainer_config = build(cfg.trainer, TrainerConfig, "trainer")
    source = build(cfg.data, Source, "data")
    finetune = recipe.finetune
    pruner = schedule = None
    if "_target_" in cfg.pruner:
        node = OmegaConf.masked_copy(cfg.pruner, [k for k in cfg.pruner if k != "targets"])
        pruner = build(node, Pruner, "pruner")
        schedule = build(cfg.schedule, Schedule, "schedule")
    check_processes(recipe, trainer_config)
    check_distillation(recipe, pretrained)
    check_freezing(finetune, pruner)
    check_callbacks(build_callbacks(cfg.callbacks), source, schedule, logs=bool(cfg.logger))
    settings = Settings(
        model=build(OmegaConf.create({"model": bare_model}).model, Model, "model"),
        source=source,
        recipe=recipe,
        pruner=pruner,
        targets=build(cfg.pruner.targets, Targets, "pruner.targets"),
        schedule=schedule,
        plan=Plan((), finetune.epochs),
        trainer_config=trainer_config,
        logger=cfg.logger,
        callbacks=cfg.callbacks,
        dense=DenseOptions(**resolved["dense"]),
        pretrained=pretrained,
        seed=cfg.seed,
        plan_only=cfg.plan_only,
        force=cfg.force,
        config=cfg,
        identity=resolved_identity(resolved),
    )
    # Steps are counted once the data are known (`resolve_data_sizes`).
    return settings.with_plan() if not (schedule and schedule.every_n_steps) else settings


def resolved_identity(resolved: dict[Any, Any]) -> dict[str, Any]:
    """The part of a resolved config that results depend on, whatever else is wrong with it.

    They depend on what the accelerator `auto` means on this machine.
    """
    identity = identity_of(resolved)
    node, name = parent_node(identity, "trainer.accelerator")
    node[name] = "gpu" if uses_gpu(str(node.get(name))) else "cpu"
    return identity
