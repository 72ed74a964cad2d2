"""What pruning does to each class: recall against the run's own dense network."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure as Canvas

from lightprune.rendering.document import Block, Figure, Table
from lightprune.rendering.plotting import draw_figure, paginate
from lightprune.report.findings import Findings
from lightprune.report.groups import RunGroup
from lightprune.report.statistics import MeanStd, pp_label

# Orange for losses, blue for gains; both light enough for the black numbers on them.
_GROUND = LinearSegmentedColormap.from_list("change", ["#F5A35C", "#FFFFFF", "#7FB9E0"])
# Changes from here on are as dark as it gets.
_FULL = 0.1


@dataclass(frozen=True)
class ClassChange:
    """Change of recall by class, 0..1: mean over the seeds whose predictions are known."""

    configuration: str
    classes: tuple[str, ...]
    change: tuple[float, ...]


def per_class_section(findings: Findings) -> Iterator[Block]:
    """Each class against the dense network."""
    changes = [change for group in findings.groups for change in _changes(group)]
    for suffix, part in paginate(changes, 30, lambda change: change.classes):
        # More would not be legible; the table beside it is.
        if len(part[0].classes) <= 12:
            yield _figure(suffix, part)
        yield Table.of(map(_row, part))
    runs = [run for group in findings.groups for run in group.runs]
    if missing := sorted({run.dense.key for run in runs if run.dense_predictions is None}):
        named = ", ".join(f"`{key}`" if key else "own checkpoint" for key in missing)
        yield (
            f"The predictions of the dense network {named} are not at hand, so runs that started "
            "from it are not compared with it image by image (`--dense-dir` says where they lie)."
        )


def _changes(group: RunGroup) -> Iterator[ClassChange]:
    """One, or none if no run has its dense network's predictions."""
    names, by_seed = group.first.data.classes, []
    for run in group.runs:
        if dense := run.dense_predictions:
            recalls = (p.recalls(len(names)) for p in (dense, run.predictions))
            by_seed.append([after - before for before, after in zip(*recalls, strict=True)])
    if by_seed:
        means = (MeanStd.of(values).mean for values in zip(*by_seed, strict=True))
        yield ClassChange(group.name, names, tuple(means))


def _row(change: ClassChange) -> dict[str, str]:
    ranked = sorted(zip(change.change, change.classes, strict=True))
    worst, best = (f"{name} {pp_label(value, 1)}" for value, name in (ranked[0], ranked[-1]))
    return {
        "configuration": change.configuration,
        "largest loss": worst,
        "largest gain": best,
        "classes that lose": str(sum(value < 0 for value in change.change)),
        "spread over classes": f"{100 * (MeanStd.of(change.change).spread or 0.0):.1f}",
    }


def _figure(suffix: str, changes: Sequence[ClassChange]) -> Figure:
    caption = (
        "Change of each class's recall on the test images, in pp, against the "
        "run's own dense network; mean over seeds. Orange and minus: recognised less often."
    )

    def draw(canvas: Canvas) -> None:
        axes, names = canvas.subplots(), changes[0].classes
        grid = [change.change for change in changes]
        axes.imshow(grid, cmap=_GROUND, vmin=-_FULL, vmax=_FULL, aspect="auto")
        for row, values in enumerate(grid):
            for column, value in enumerate(values):
                axes.text(column, row, pp_label(value, 1), ha="center", va="center", fontsize=8)
        axes.set_xticks(range(len(names)), names, rotation=35, ha="left", rotation_mode="anchor")
        axes.set_yticks(range(len(changes)), [change.configuration for change in changes])
        axes.tick_params(top=True, bottom=False, labeltop=True, labelbottom=False, length=0)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)

    title = "Change of each class against the dense network"
    return draw_figure(f"classes{suffix}", title, caption, 0.9 + 0.22 * len(changes), draw)
