from lightprune.sparse.ir.graph import INPUT
from lightprune.sparse.ir.program import AddStep, ConcatStep, FlattenStep, PoolStep, Program
from lightprune.sparse.passes.cleanup import eliminate_dead_steps, propagate_copies

SHAPE = (2, 4, 4)


def relu(value, read):
    return AddStep(value, (read,), None, relu=True)


def program(*steps, output):
    shapes = {INPUT: SHAPE, **{step.value: SHAPE for step in steps}}
    return Program(steps, shapes, output, flat=False)


def test_steps_that_the_output_does_not_depend_on_are_removed():
    first, unread, last = relu("a", INPUT), relu("b", "a"), relu("c", "a")

    cleaned = eliminate_dead_steps(program(first, unread, last, output="c"))

    assert cleaned.steps == (first, last)
    assert set(cleaned.shapes) == {INPUT, "a", "c"}


def test_readers_of_copies_read_what_was_copied():
    copies = (
        AddStep("sum", (INPUT,), None, relu=False),
        PoolStep("pooled", ("sum",), "max", (1, 1), (1, 1), (0, 0), False),
        ConcatStep("joined", ("pooled",)),
        FlattenStep("flat", ("joined",)),
    )

    cleaned = propagate_copies(program(*copies, relu("out", "flat"), output="out"))

    assert [(step.value, step.inputs) for step in cleaned.steps] == [("out", (INPUT,))]


def test_an_output_that_is_a_copy_is_the_copied_value():
    copied = program(relu("a", INPUT), ConcatStep("out", ("a",)), output="out")

    assert propagate_copies(copied).output == "a"
