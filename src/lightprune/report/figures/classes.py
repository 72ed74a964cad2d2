"""How each class fares against the dense network: numbers on a diverging ground."""

from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure as Canvas

from lightprune.report.classes import ClassChange
from lightprune.report.document import Figure
from lightprune.report.figures.style import drawn, pages
from lightprune.report.wording import points

# Orange for losses, blue for gains; both light enough for the black numbers on them.
_GROUND = LinearSegmentedColormap.from_list("change", ["#F5A35C", "#FFFFFF", "#7FB9E0"])
# Changes from here on are as dark as it gets.
_FULL = 0.1


def classes(changes: list[ClassChange], names: tuple[str, ...]) -> list[Figure]:
    """A row a cell, thirty a figure; none without dense predictions or for too many classes."""
    if not changes or len(names) > 12:
        return []
    caption = (
        "Change of each class's recall on the test images, in percentage points, against the "
        "run's own dense network; mean over seeds. Orange and minus: recognised less often."
    )
    found = []
    for suffix, part in pages(changes, 30):
        chosen: list[ClassChange] = list(part)

        def draw(canvas: Canvas, chosen: list[ClassChange] = chosen) -> None:
            axes = canvas.subplots()
            grid = [change.change for change in chosen]
            axes.imshow(grid, cmap=_GROUND, vmin=-_FULL, vmax=_FULL, aspect="auto")
            for row, values in enumerate(grid):
                for column, value in enumerate(values):
                    axes.text(column, row, points(value, 1), ha="center", va="center", fontsize=8)
            axes.set_xticks(
                range(len(names)), names, rotation=35, ha="left", rotation_mode="anchor"
            )
            axes.set_yticks(range(len(chosen)), [change.cell for change in chosen])
            axes.tick_params(top=True, bottom=False, labeltop=True, labelbottom=False, length=0)
            axes.grid(visible=False)
            for spine in axes.spines.values():
                spine.set_visible(False)

        title = "Change of each class against the dense network"
        found.append(drawn(f"classes{suffix}", title, caption, 0.9 + 0.22 * len(chosen), draw))
    return found
