"""What pruning does to each class: recall against the run's own dense network."""

from collections.abc import Iterator

from lightprune.rendering.document import Block
from lightprune.rendering.heat_map import heat_map
from lightprune.rendering.number_format import pp_label
from lightprune.rendering.svg import chart_figure
from lightprune.report.findings import Findings
from lightprune.report.groups import RunGroup
from lightprune.report.statistics import MeanStd

# Changes from here on are as dark as it gets.
_FULL = 0.1
# More would not be legible: those that change most.
_CLASSES = 30


def classes_section(findings: Findings) -> Iterator[Block]:
    """A heat map of configurations and classes, one for each set of classes."""
    kinds: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for group in findings.groups:
        if changes := _changes(group):
            kinds.setdefault(group.first.data.classes, {})[group.name] = changes
    for number, (classes, rows) in enumerate(kinds.items(), 1):
        largest = [max(abs(change[i]) for change in rows.values()) for i in range(len(classes))]
        ranked = sorted(range(len(classes)), key=lambda i: -largest[i])[:_CLASSES]
        shown = sorted(ranked)
        cells = [
            (name, [(change[i] / _FULL, pp_label(change[i], 1)) for i in shown])
            for name, change in rows.items()
        ]
        suffix, title = f"-{number}" if len(kinds) > 1 else "", "Change of each class's recall"
        which = f"the {len(shown)} of {len(classes)} classes that change most; "
        caption = (
            "On the test images, in pp, against the run's own dense network, mean over the seeds; "
            f"{which if len(shown) < len(classes) else ''}minus and orange: recognised less often."
        )
        svg = heat_map(title, [classes[i] for i in shown], cells)
        yield chart_figure(f"classes{suffix}", title, caption, svg)
    runs = [run for group in findings.groups for run in group.runs]
    if missing := sorted({run.dense.key for run in runs if run.dense_predictions is None}):
        named = ", ".join(f"`{key}`" if key else "own checkpoint" for key in missing)
        where = " (`--dense-dir` says where they lie)" if any(missing) else ""
        yield (
            f"The predictions of the dense network {named} are not at hand, so runs that started "
            f"from it are not compared with it image by image{where}."
        )


def _changes(group: RunGroup) -> list[float]:
    """By class, the mean over the seeds whose dense predictions are known; empty without any."""
    count, by_seed = len(group.first.data.classes), []
    for run in group.runs:
        if dense := run.dense_predictions:
            recalls = (p.recalls(count) for p in (dense, run.predictions))
            by_seed.append([after - before for before, after in zip(*recalls, strict=True)])
    return [MeanStd.of(values).mean for values in zip(*by_seed, strict=True)]
