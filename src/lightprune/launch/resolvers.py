"""The resolvers of configs/train.yaml that name folders; only a call of them imports torch."""

from omegaconf import DictConfig, OmegaConf


def register_folder_names() -> None:
    """Registers the resolvers with OmegaConf."""
    OmegaConf.register_new_resolver("run_name", _run_name, replace=True)
    OmegaConf.register_new_resolver("sweep_name", _sweep_name, replace=True)


def _run_name(name: str | None, parent: str, *, _root_: DictConfig) -> str:
    from lightprune.launch.choose_folder import run_name

    return name or run_name(parent, _root_)


def _sweep_name(name: str | None, *, _root_: DictConfig) -> str:
    from lightprune.launch.choose_folder import sweep_name

    return name or sweep_name(_root_)
