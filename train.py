"""Trains, prunes, fine-tunes and tests: `python train.py pruner=global schedule=multi_step`."""

from lightprune.garbage import paused_collector

if __name__ == "__main__":
    with paused_collector():
        from lightprune.launch.hydra_main import main
    main()
