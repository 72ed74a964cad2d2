"""Every stage of a network's compilation as text, to read what each pass did."""

from lightprune.sparse.codegen.assembler import compile_program
from lightprune.sparse.ir.graph import Graph
from lightprune.sparse.ir.program import Program
from lightprune.sparse.isa.register_blocks import LANES
from lightprune.sparse.passes.legalize import State
from lightprune.sparse.passes.lower import stages


def explain(graph: Graph, state: State) -> str:
    """The graph, the program after each pass, and the executables for 1 and `LANES` images.

    Each pass is headed by what it changed; the program is printed where it did.

    Raises:
        InputError: The graph and the tensors do not fit.
    """
    sections = [str(graph)]
    before = None
    for name, program in stages(graph, state):
        sections.append(f"after {name}: {_changes(before, program)}")
        if before is None or str(program) != str(before):
            sections[-1] += f"\n{program}"
        before = program
    sections += [str(compile_program(program, images)) for images in (1, LANES)]
    return "\n\n".join(sections) + "\n"


def _changes(before: Program | None, after: Program) -> str:
    if before is None:
        return ", ".join(f"{count:,} {what}" for what, count in after.sizes.items())
    changes = [
        f"{what} {before.sizes[what]:,} -> {count:,}"
        for what, count in after.sizes.items()
        if count != before.sizes[what]
    ]
    return ", ".join(changes) or ("no change" if str(before) == str(after) else "same sizes")
