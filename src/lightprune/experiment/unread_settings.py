"""Settings that a command gives and its run would never read: an error, in place of silence."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lightprune.errors import InputError
from lightprune.experiment.config import Settings
from lightprune.runs.identity import swept_keys
from lightprune.training.lr_schedule import AUTO, REWIND
from lightprune.training.recipe import Recipe


@dataclass(frozen=True)
class _Unread:
    """A key that a run does not read, with all below it: why, and what is allowed instead.

    A key that ends in a point stands only for what is below it. `causes` are the settings by which
    it is so: where a sweep varies one of them, another job may read the key.
    """

    key: str
    why: str
    allowed: str
    causes: tuple[str, ...] = ()
    but: tuple[str, ...] = ()

    def covers(self, key: str) -> bool:
        return _is_below(key, self.key) and not any(_is_below(key, other) for other in self.but)

    def may_differ(self, swept: Iterable[str]) -> bool:
        causes = (*self.causes, "experiment", "recipe")
        return any(_is_below(cause, key) for key in swept for cause in causes if self.causes)


def check_overrides(settings: Settings, overrides: Sequence[str]) -> None:
    """Raises InputError if one of a command's overrides sets what the run does not read."""
    swept = swept_keys()
    unread = [rule for rule in _unread_keys(settings) if not rule.may_differ(swept)]
    for override in overrides:
        name, _, value = override.lstrip("+~").partition("=")
        key = name.partition("@")[0].replace("/", ".")
        for rule in unread:
            if rule.covers(key):
                allowed = rule.allowed.format(value=value)
                raise InputError(f"{name}={value}: is not read, {rule.why}; allowed is {allowed}")


def _unread_keys(settings: Settings) -> Iterator[_Unread]:
    yield from _phase_keys(settings.recipe)
    yield from _dense_keys(settings)
    pruner = settings.pruner
    if pruner is None:
        why, allowed = "since pruner=none prunes nothing", "a pruner (pruner=global), or none of it"
        cause = ("pruner",)
        yield _Unread("schedule", why, allowed, cause)
        yield _Unread("pruner.", why, allowed, cause, but=("pruner.targets",))
        for key in ("optimizer_state", "recalibrate"):
            yield _Unread(f"recipe.finetune.{key}", why, allowed, cause)
        return
    if pruner.weights != "shuffle" and (not pruner.regrowth or pruner.regrowth.grow != "random"):
        why = "since it is the seed of a shuffle and of random regrowth"
        allowed = "pruner.weights=shuffle, pruner/regrowth=random, or seed={value}"
        yield _Unread("pruner.seed", why, allowed, ("pruner.weights", "pruner.regrowth"))
    if pruner.regrowth and pruner.regrowth.grow == "random":
        why, allowed = "since pruner.regrowth.grow=random takes no gradient", "grow=gradient"
        yield _Unread("pruner.regrowth.batches", why, allowed, ("pruner.regrowth.grow",))


def _phase_keys(recipe: Recipe) -> Iterator[_Unread]:
    for name, phase in (("dense", recipe.dense), ("finetune", recipe.finetune)):
        key, shape = f"recipe.{name}", phase.learning_rate.shape
        rate = f"{key}.learning_rate"
        yield _Unread(
            f"{key}.optimizer.lr",
            "since the schedule sets the learning rate of every step",
            f"{rate}.peak={{value}}",
        )
        why, cause = f"since {rate}.shape={shape}", (f"{rate}.shape",)
        if shape == REWIND:
            for part in ("peak", "warmup", "milestones"):
                yield _Unread(f"{rate}.{part}", why, "another shape", cause)
        elif shape != "multistep":
            yield _Unread(f"{rate}.milestones", why, f"{rate}.shape=multistep", cause)
        weight = f"{key}.distillation.weight"
        if phase.distillation.weight == 0:
            why = f"since {weight}=0 has no teacher"
            yield _Unread(f"{key}.distillation.temperature", why, "a weight above 0", (weight,))
        elif phase.distillation.weight == 1:
            why = f"since {weight}=1 reads no labels"
            yield _Unread(f"{key}.label_smoothing", why, "a weight below 1", (weight,))
        augmentation = phase.augmentation
        if not (augmentation.crop or augmentation.rotation or augmentation.zoom):
            why = f"since {key}.augmentation.crop, rotation and zoom are 0"
            causes = tuple(f"{key}.augmentation.{name}" for name in ("crop", "rotation", "zoom"))
            yield _Unread(
                f"{key}.augmentation.padding", why, "a crop, a rotation or a zoom above 0", causes
            )


def _dense_keys(settings: Settings) -> Iterator[_Unread]:
    given = settings.pretrained
    if settings.rewind_epoch is None:
        weights = settings.pruner.weights if settings.pruner else None
        why = f"since pruner.weights={weights}" if weights else "since pruner=none prunes nothing"
        yield _Unread("dense.rewind_epoch", why, "pruner.weights=rewind", ("pruner.weights",))
    causes = ("dense.checkpoint", "dense.fresh", "model", "recipe.dense.epochs")
    if given is None:
        for key in ("dense.prefix", "dense.fresh", "dense.keep_zeros"):
            yield _Unread(key, "since no weights are given", "it with dense.checkpoint", causes)
    elif given.url is not None:
        why = f"since {given.setting} holds one network"
        yield _Unread("dense.prefix", why, "it with dense.checkpoint", causes)
    if settings.trains_dense:
        return
    rate = settings.recipe.finetune.learning_rate
    read = ("epochs", "learning_rate") if rate.peak == AUTO or rate.shape == REWIND else ()
    if given is not None and not settings.dense.fresh:
        why, allowed = f"since {given.setting} takes its place", "one of them"
    else:
        why, allowed = "since recipe.dense.epochs=0 trains nothing", "a dense training"
        read = ("epochs", *read)
    but = tuple(f"recipe.dense.{key}" for key in read)
    yield _Unread("recipe.dense", why, allowed, causes, but)


def _is_below(key: str, parent: str) -> bool:
    return key == parent or key.startswith(f"{parent.removesuffix('.')}.")


def check_mode(overrides: Sequence[str], settings: Sequence[str], *, multirun: bool) -> None:
    """Raises InputError for overrides of `hydra` that this way of running does not read.

    `settings` are the command's other overrides; `multirun` is whether this is a job of a sweep.
    """
    pairs = {"hydra.run.dir": "hydra.sweep.dir"} if multirun else dict(_OF_SWEEPS)
    folder = "hydra.sweep.dir" if multirun else "hydra.run.dir"
    names = [setting for setting in settings if setting.startswith("name=")]
    for override in overrides:
        name, _, value = override.lstrip("+~").partition("=")
        if name == folder and not value:
            raise InputError(f"{override}: allowed is the path of a folder")
        if name == folder and names and "${" not in value:
            raise InputError(
                f"{names[0]}: is not read, since {override} says the folder; allowed is one of them"
            )
        for key, instead in pairs.items():
            if _is_below(name.replace("/", "."), key):
                why = "by a sweep (-m)" if multirun else "without -m"
                raise InputError(f"{name}={value}: is not read {why}; allowed is {instead}")


_OF_SWEEPS = {
    "hydra.sweep.dir": "hydra.run.dir, or -m",
    "hydra.sweep": "-m",
    "hydra.launcher": "-m",
    "hydra.sweeper": "-m",
}
