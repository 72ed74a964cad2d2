"""The command line of the commands that take many options."""

from argparse import ArgumentParser
from pathlib import Path


def bench_options(parser: ArgumentParser) -> None:
    """What `lightprune bench` takes."""
    parser.add_argument(
        "path", type=Path, metavar="PATH", help="a finished run, an export, or a model file"
    )
    parser.add_argument("--threads", metavar="1,2", help="default: 1 and all cores")
    parser.add_argument("--batches", default="1,8,64,256", metavar="1,8,64,256")
    parser.add_argument("--rounds", type=int, default=30, metavar="N", help="default: 30")
    parser.add_argument("--backends", metavar="NAME,NAME", help="default: all that are installed")
    parser.add_argument(
        "--no-startup", dest="startup", action="store_false", help="do not time loading"
    )
    parser.add_argument("--profile", action="store_true", help="time every operation, too")
    parser.add_argument("--to", type=Path, metavar="DIR", help="default: PATH/bench")
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="where the test images lie")
    parser.add_argument(
        "--constructor", metavar="NAME", help="what builds the network, if it is one's own"
    )


def sensitivity_options(parser: ArgumentParser) -> None:
    """What `lightprune sensitivity` takes."""
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a finished run")
    parser.add_argument("--sparsities", metavar="0.5,0.9", help="default: by the total")
    parser.add_argument("--images", type=int, default=1000, metavar="N", help="default: 1000")
    parser.add_argument(
        "--batches", type=int, default=4, metavar="N", help="for batch norm (default: 4)"
    )
    parser.add_argument("--target", type=float, metavar="S", help="in all (default: the run's)")
    parser.add_argument(
        "--drop", type=float, metavar="POINTS", help="that each layer may cost, and no total"
    )
    parser.add_argument("--network", default="dense", metavar="dense|pruned")
    parser.add_argument("--dense-dir", type=Path, metavar="DIR", help="default: the run's")
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="where the images lie")
    parser.add_argument(
        "--constructor", metavar="NAME", help="what builds the network, if it is one's own"
    )


def filters_options(parser: ArgumentParser) -> None:
    """What `lightprune filters` takes."""
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a finished run")
    parser.add_argument(
        "--sparsity", type=float, required=True, metavar="S", help="the share of the channels"
    )
    parser.add_argument(
        "--scope", default="local", metavar="local|global", help="default: local, in each layer"
    )
    parser.add_argument("--norm", default="l1", metavar="l1|l2", help="default: l1")
    parser.add_argument("--network", default="dense", metavar="dense|pruned")
    parser.add_argument("--dense-dir", type=Path, metavar="DIR", help="default: the run's")
