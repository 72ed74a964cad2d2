"""Checks before training: data, network, plan and recipe together."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from lightprune.errors import InputError, first_of
from lightprune.experiment.config import Settings
from lightprune.experiment.config_checks import check_fresh_teacher
from lightprune.experiment.data_checks import resolve_data_sizes
from lightprune.experiment.dense_training import DenseTraining
from lightprune.experiment.network_checks import check_outputs, check_training, network_macs
from lightprune.experiment.pretrained import Pretrained, load_pretrained
from lightprune.pruning.batch_norm import tracked_batch_norms
from lightprune.pruning.cost.cost_report import CostReport, cost_report
from lightprune.pruning.criteria.context import check_macs_known
from lightprune.pruning.masks import Masks
from lightprune.pruning.targets import LeftDense
from lightprune.training.recipe import Phase
from lightprune.training.run_loggers import TrackedRun
from lightprune.training.setup import Setup


@dataclass(frozen=True)
class TrainingCheck:
    """What a training step of each phase has shown.

    Attributes:
        checkpoint_bytes: An estimate: weights (latest, best, early, average), optimizer, scores.
        image_seconds: Of training on one image, by the phase's name in the recipe; empty where the
            run trains on other hardware than the step.
    """

    checkpoint_bytes: int
    image_seconds: Mapping[str, float]


@dataclass(frozen=True)
class CheckedRun:
    """A run whose inputs have been checked.

    Attributes:
        fingerprint: Of the data.
        pretrained: The weights that the run is given; None without.
        cost: Of the dense network, with the zeros of given weights.
        zeros: The number of pruned weights after each event.
        left_dense: Layers of prunable types whose weights cannot be pruned.
        missing_types: Prunable types of which the network has no weight.
        masks: What `dense.keep_zeros` holds at zero from the start; None if it holds nothing.
    """

    settings: Settings
    setup: Setup
    fingerprint: str
    pretrained: Pretrained | None
    cost: CostReport
    zeros: tuple[int, ...]
    left_dense: tuple[LeftDense, ...]
    missing_types: tuple[str, ...]
    masks: Masks | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What the run's result depends on: the config, and the contents of data and weights."""
        given = self.pretrained and self.pretrained.sha256
        contents = {"fingerprint": self.fingerprint, "dense_weights": given}
        return {**self.settings.identity, **contents}

    @property
    def dense_folder(self) -> Path | None:
        """The dense network's folder in the cache; None for one that is given whole."""
        if self.pretrained is not None and not self.pretrained.trained_first:
            return None
        return self.dense.folder

    @property
    def needs_dense_training(self) -> bool:
        """Whether the dense network is neither given nor in the cache."""
        given_whole = self.dense_folder is None or not self.settings.trains_dense
        return not given_whole and not self.dense.is_complete

    def check_training(self) -> TrainingCheck:
        """Takes a training step of each phase that trains.

        Raises:
            InputError: A step fails.
        """
        settings, recipe = self.settings, self.settings.recipe
        phases: dict[str, Phase] = {"finetune": recipe.finetune}
        if settings.trains_dense:
            phases = {"dense": recipe.dense, **phases}
        macs = network_macs(self.setup.new_network(), self.setup)
        steps = check_training(self.setup, phases, macs)
        pruner = settings.pruner
        accumulates = pruner is not None and "accumulated" in pruner.criterion.needs
        averages = any(phase.ema_decay for phase in phases.values())
        copies = 2 + bool(settings.rewind_epoch) + accumulates + averages
        optimizer_bytes = max(step.optimizer_bytes for step in steps.values())
        trainer = settings.trainer_config
        # The steps were taken by one process on the CPU.
        alike = trainer.processes == 1 and not trainer.on_gpu
        return TrainingCheck(
            checkpoint_bytes=copies * 4 * self.cost.parameters + optimizer_bytes,
            image_seconds={n: s.image_seconds for n, s in steps.items()} if alike else {},
        )

    @property
    def dense(self) -> DenseTraining:
        """The training of the dense network, and what it depends on."""
        config = self.settings.identity
        parts = {name: config[name] for name in ("model", "data", "seed", "trainer")}
        parts |= {"recipe": config["recipe"]["dense"], "fingerprint": self.fingerprint}
        if self.pretrained is not None:
            parts |= {"given": self.pretrained.sha256, "dense": config["dense"]}
        if self.settings.dense.keep_zeros:
            parts["targets"] = config["pruner"]["targets"]
        return DenseTraining(
            self.setup,
            self.settings.recipe.dense,
            Path(self.settings.dense.cache_dir),
            parts,
            self.pretrained,
            self.settings.dense.keep_zeros,
        )


def preflight(settings: Settings) -> CheckedRun:
    """Loads the data, builds the network once, and checks whether they, plan and recipe fit.

    Raises:
        InputError: They do not.
    """
    settings.trainer_config.use_threads()
    data, fingerprint = settings.source.load()
    if len(data.classes) < 2:
        raise InputError(
            f"data: holds one class, {data.classes[0]}; allowed are two or more to tell apart"
        )
    settings = resolve_data_sizes(settings, data)
    setup = Setup(
        model=settings.model,
        data=data,
        source=settings.source,
        targets=settings.targets,
        trainer_config=settings.trainer_config,
        seed=settings.seed,
        freeze=settings.recipe.finetune.freeze,
    )
    finetune = settings.recipe.finetune
    later_images = finetune.epochs * setup.epoch_images(finetune)
    setup = replace(setup, images_after_dense=later_images)
    network = setup.new_network()
    try:
        weights = settings.targets.find(network)
    except InputError as error:
        raise InputError(f"pruner.{error}") from error
    for name, phase in (("dense", settings.recipe.dense), ("finetune", settings.recipe.finetune)):
        try:
            phase.build_optimizer(network)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"recipe.{name}.optimizer: {error}; allowed is what the optimizer takes"
            ) from error
    count = settings.recipe.finetune.recalibrate
    if count and settings.pruner is not None and not tracked_batch_norms(network):
        raise InputError(
            f"recipe.finetune.recalibrate={count}: the network has no batch norm whose statistics "
            "could be estimated anew; allowed is 0"
        )
    check_outputs(network, setup)
    pretrained = masks = None
    if settings.pretrained is not None:
        pretrained = load_pretrained(setup, settings.pretrained, settings.dense.fresh)
        check_fresh_teacher(settings.recipe, pretrained.fresh)
        network.load_state_dict(pretrained.state)
        if settings.dense.keep_zeros:
            masks = pretrained.zeros(weights)
    with TemporaryDirectory() as scratch:
        settings.loggers(TrackedRun(Path(scratch), "preflight"))
    zeros = _zeros(settings, weights, masks)
    cost = cost_report(network, weights, setup.example[:1])
    if settings.pruner is not None and "macs" in settings.pruner.criterion.needs:
        check_macs_known([name for name, layer in cost.layers.items() if layer.macs is None])
    return CheckedRun(
        settings,
        setup,
        fingerprint,
        pretrained,
        cost,
        zeros,
        settings.targets.left_dense(network),
        settings.targets.missing_types(network),
        masks,
    )


def _zeros(
    settings: Settings, weights: Mapping[str, Tensor], masks: Masks | None
) -> tuple[int, ...]:
    """The zeros after each event; InputError if more are held from the start than the last has."""
    plan, pruner, totals = settings.plan, settings.pruner, []
    for event in plan.events:
        assert pruner is not None
        sparsity, final = event.sparsity, plan.final
        counts = pruner.zero_counts(weights, sparsity, final=final, masks=masks)
        totals.append(sum(count for _, count in counts))
        if masks is None or event != plan.events[-1]:
            continue
        for names, zeros in pruner.zero_counts(weights, sparsity, final=final):
            held = Masks({name: masks[name] for name in names})
            if held.pruned > zeros:
                raise InputError(
                    f"dense.keep_zeros=true: {held.pruned:,} of the {held.total:,} weights of "
                    f"{first_of(names, 2)} are given as zero, and the schedule ends with {zeros:,} "
                    f"zeros there; allowed are a sparsity of at least {held.sparsity:.4g} there, "
                    "or pruner=none"
                )
    return tuple(totals)
