"""How a config prunes, in the words that reports, folders and trackers use."""

from lightprune.models.slim import SLIM_NETWORK
from lightprune.runs.record import Json

_SANITY = {"shuffle": "masks shuffled", "reinitialise": "fresh weights"}
_WEIGHTS = {"rewind": "rewound", **_SANITY}


def method_label(config: Json) -> str:
    """How a config prunes, in words and without the sparsity."""
    pruner = config["pruner"]
    if not prunes(config):
        return "filters removed" if is_slim(config) else "control"
    criterion, scope = criterion_name(config), str(pruner["scope"])
    if criterion != "magnitude":
        scope = criterion if scope == "global" else f"{criterion}-{scope}"
    words = [scope, class_label(config["schedule"])]
    extra = [
        f"{name} {value:g}"
        for name, value in pruner["criterion"].items()
        if name != "seed" and isinstance(value, int | float)
    ]
    # That of the others is the curve that their name stands for.
    if words[1] == "multi_step" and (span := config["schedule"].get("span", 1)) != 1:
        extra.append(f"span {span:g}")
    extra += [_WEIGHTS[pruner["weights"]]] if pruner["weights"] in _WEIGHTS else []
    # Runs of earlier versions do not name it.
    if pruner.get("regrowth"):
        extra.append(f"{pruner['regrowth']['grow']} regrowth")
    if pruner["unreachable"] == "first":
        extra.append("unreachable first")
    if is_slim(config):
        extra.append("filters removed")
    return ", ".join([" ".join(words), *extra])


def prunes(config: Json) -> bool:
    """Whether a config prunes at all; `pruner=none` only says what would be counted."""
    return "criterion" in (config["pruner"] or {})


def is_sanity_check(label: str) -> bool:
    """Whether a method's label is that of a run whose masks or weights were thrown away."""
    return any(words in label for words in _SANITY.values())


def criterion_name(config: Json) -> str:
    """The criterion by which a config prunes, `magnitude_per_mac`; `none` if it prunes nothing."""
    return class_label(config["pruner"]["criterion"]) if prunes(config) else "none"


def is_slim(config: Json) -> bool:
    """Whether a config's network is what filter pruning has left."""
    constructor = config["model"].get("constructor") or {}
    return bool(constructor.get("_target_") == SLIM_NETWORK)


def class_label(part: Json) -> str:
    """`lightprune.pruning.OneShot` as `one_shot`."""
    name = str(part["_target_"]).rpartition(".")[2]
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
