"""Trains, prunes, fine-tunes and tests: `python train.py pruner=global schedule=multi_step`."""

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lightprune.experiment.config import register
from lightprune.launch.error_reporting import run_hydra_main, run_job
from lightprune.launch.launcher import launch

register()


@hydra.main(config_path="configs", config_name="train", version_base="1.3")
def main(cfg: DictConfig) -> float | None:
    """Runs one composed config and returns its test accuracy, which a sweep collects."""
    return run_job(lambda: launch(cfg, HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    run_hydra_main(main)
