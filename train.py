"""Trains, prunes, fine-tunes and tests: `python train.py pruner=global schedule=multi_step`."""

from lightprune.launch.train import main

if __name__ == "__main__":
    main()
