"""Trains, prunes, fine-tunes and tests: `python train.py pruner=global schedule=multi_step`."""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lightprune.experiment.config import register_configs
from lightprune.launch.error_reporting import report_errors, run_hydra_main
from lightprune.launch.launcher import launch

register_configs()


@hydra.main(config_path="configs", config_name="train", version_base="1.3")
@report_errors
def main(cfg: DictConfig) -> float | None:
    """Runs one composed config and returns its test accuracy, which a sweep collects."""
    hydra_settings = HydraConfig.get()
    return launch(cfg, Path(hydra_settings.runtime.output_dir), hydra_settings)


if __name__ == "__main__":
    run_hydra_main(main)
