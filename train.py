"""Trains, prunes, fine-tunes and tests: `python train.py pruner=global schedule=multi_step`."""

from lightprune.launch.hydra_main import main

if __name__ == "__main__":
    main()
