"""The sections of a report on results, in the order in which one reads them."""

from lightprune.report.cells import Cell
from lightprune.report.classes import class_changes, class_table
from lightprune.report.document import Block, Bullets, Section, Table, Text
from lightprune.report.figures.classes import classes
from lightprune.report.figures.curves import curves
from lightprune.report.figures.events import events
from lightprune.report.figures.frontier import frontier
from lightprune.report.figures.layers import layers
from lightprune.report.published import CAVEATS, FIGURES, NAME, comparable, variant
from lightprune.report.results import Row, result_table
from lightprune.report.run import Run
from lightprune.report.statistics import Summary
from lightprune.report.wording import accuracy_text


def results(cells: tuple[Cell, ...], rows: list[Row]) -> Section:
    """The table beside the study's figures."""
    several = any(len(cell.runs) > 1 for cell in cells)
    words = (
        "Accuracy on the test images, read once, at the end. The interval is Wilson's, for the "
        "number of test images alone; "
        + (
            "± is the sample standard deviation over the seeds. "
            if several
            else "with one seed a cell, how much another seed would change is not known from these "
            "runs. "
        )
        + "The difference is to each run's own dense network, which has trained fewer epochs; the "
        "control has trained as many. Rows stand in the order of what was done, not of accuracy: "
        "the table ranks nothing, the paired comparisons below do where they may."
    )
    blocks: list[Block] = [Text(words), result_table(rows)]
    if any(comparable(cell.first) for cell in cells):
        quoted = ", ".join(f"{f.label} {100 * f.accuracy:.1f} %" for f in FIGURES)
        blocks.append(Text(f"Column “study”: {NAME}: {quoted}. {CAVEATS}"))
    else:
        blocks.append(
            Text(
                f"These runs are of another network or other images than {NAME}; its figures "
                "(dense 86.9 %, global 98 % 86.8 %, local 94 % 82.8 %) are not held against them."
            )
        )
    if any(run.data.validation_is_test for cell in cells for run in cell.runs):
        blocks.append(Text("Some runs were validated on the test set: see Provenance."))
    return Section("Results", tuple(blocks))


def pruning(cells: tuple[Cell, ...], rows: list[Row]) -> list[Section]:
    """The frontier, the curves, the layers and the events."""
    found = [
        Section("Accuracy against sparsity", tuple(frontier(cells, rows))),
        Section("Training curves", tuple(curves(cells))),
        Section("Sparsity of each layer", tuple(layers(cells))),
    ]
    if any(cell.first.events for cell in cells):
        shown: list[Block] = [*events(cells), _event_table(cells)]
        found.append(Section("Before, right after, recovered", tuple(shown)))
    return [section for section in found if section.blocks]


def _event_table(cells: tuple[Cell, ...]) -> Table:
    rows = []
    for cell in cells:
        for number, event in enumerate(cell.first.events):
            records = [run.events[number] for run in cell.runs]
            recovered = [e.recovered for e in records if e.recovered is not None]
            rows.append(
                (
                    cell.name,
                    str(event.epoch),
                    f"{100 * event.sparsity:.2f} %",
                    f"{100 * event.live_sparsity:.2f} %",
                    accuracy_text(Summary.of([e.before for e in records])),
                    accuracy_text(Summary.of([e.after for e in records])),
                    accuracy_text(Summary.of(recovered)) if recovered else "",
                    ", ".join(name.removesuffix(".weight") for name in event.emptied),
                )
            )
    columns = (
        "cell",
        "before epoch",
        "sparsity",
        "live sparsity",
        "before",
        "right after",
        "recovered",
        "emptied layers",
    )
    return Table(columns, tuple(rows))


def by_class(cells: tuple[Cell, ...]) -> Section:
    """Each class against the dense network."""
    blocks: list[Block] = []
    for names in dict.fromkeys(cell.first.data.classes for cell in cells):
        alike = tuple(cell for cell in cells if cell.first.data.classes == names)
        if changes := class_changes(alike):
            blocks += [*classes(changes, names), class_table(changes, names)]
    missing = sorted({r.dense.key for c in cells for r in c.runs if r.dense.predictions is None})
    if missing:
        blocks.append(Text(_missing(missing)))
    return Section("Classes", tuple(blocks))


def _missing(keys: list[str]) -> str:
    named = ", ".join(f"`{key}`" if key else "one's own checkpoint" for key in keys)
    return (
        f"The predictions of the dense network {named} are not at hand, so runs that started from "
        "it are not compared with it image by image (`--dense-dir` says where they lie)."
    )


def provenance(cells: tuple[Cell, ...], left_out: Bullets | None) -> Section:
    """Where every number comes from."""
    runs = [(cell, run) for cell in cells for run in cell.runs]
    commands = list(dict.fromkeys(run.command for _, run in runs))
    columns = ("run folder", "cell", "seed", "commit", "hardware", "data", "command")
    rows = [
        (
            f"`{run.folder}`",
            cell.name,
            str(run.seed),
            f"`{run.commit[:12]}{'-dirty' if run.commit.endswith('-dirty') else ''}`",
            run.hardware,
            run.data.fingerprint[:8],
            f"no. {commands.index(run.command) + 1}",
        )
        for cell, run in runs
    ]
    versions = dict.fromkeys(
        ", ".join(f"{name} {number}" for name, number in run.versions.items()) for _, run in runs
    )
    blocks: list[Block] = [
        Table(columns, tuple(rows)),
        Bullets(tuple(f"command no. {n}: `{typed}`" for n, typed in enumerate(commands, 1))),
        Bullets(tuple(dict.fromkeys(_data(run) for _, run in runs))),
        Bullets(tuple(f"versions: {line}" for line in versions)),
    ]
    if left_out:
        blocks += [Text("Left out, because they are not finished or damaged:"), left_out]
    return Section("Provenance", tuple(blocks))


def _data(run: Run) -> str:
    data = run.data
    test = ", which is the test set" if data.validation_is_test else ""
    return (
        f"data {data.fingerprint[:8]}: {variant(data)}, source {data.source}, "
        f"{len(data.classes)} classes, {data.train_images:,} training, "
        f"{data.validation_images:,} validation{test}, {data.test_images:,} test images; "
        f"fingerprint `{data.fingerprint}`"
    )
