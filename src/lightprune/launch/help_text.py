"""What `lightprune train --help` prints, in thirty lines."""

from collections import Counter
from pathlib import Path
from textwrap import fill

from lightprune.launch.overrides import CONFIGS

_USAGE = """\
Usage: lightprune train [GROUP=OPTION | KEY=VALUE]... [-m] [--config-dir DIR] [--cfg job]

Trains a dense network, or takes it from the cache; prunes, fine-tunes and tests it. The same
command continues an interrupted run, and shows the result of a finished one.

  lightprune train pruner=local schedule.sparsity=0.9     one run
  lightprune train -m pruner=global,local seed=0,1,2      a sweep: every combination
  lightprune train plan_only=true schedule=cubic          its plan; trains nothing

Groups:"""
_OPTIONS = """
Options:
  -m                  a sweep over the values between commas
  --cfg job           print the composed config, with all keys, and do nothing else
  --config-dir DIR    more options of the groups, in a folder of your own"""
_INDENT, _WIDTH = 22, 100
# Of a group with more options, those with the same first word are shown as one pattern.
_MOST_OPTIONS = 12


def help_text(config_dir: str | None) -> str:
    """Usage, groups with their options, and options, those in `config_dir` too."""
    groups: dict[str, set[str]] = {}
    for root in (CONFIGS, *([Path(config_dir)] if config_dir else ())):
        for file in root.glob("*/**/*.yaml"):
            groups.setdefault(file.parent.relative_to(root).as_posix(), set()).add(file.stem)
    rows = [
        fill(
            ", ".join(_shortened(sorted(options))),
            _WIDTH,
            initial_indent=f"  {group:<{_INDENT - 2}}",
            subsequent_indent=" " * _INDENT,
        )
        for group, options in sorted(groups.items())
        if not group.startswith("hydra")
    ]
    return "\n".join([_USAGE, *rows, _OPTIONS])


def _shortened(options: list[str]) -> list[str]:
    if len(options) <= _MOST_OPTIONS:
        return options
    words = [option.partition("_")[0] for option in options]
    counts = Counter(words)
    pairs = zip(options, words, strict=True)
    return list(dict.fromkeys(f"{w}_*" if counts[w] > 2 else option for option, w in pairs))
