from dataclasses import fields

import pytest

from lightprune.sparse.isa import instruction as isa
from lightprune.sparse.isa.records import encode, record_type
from lightprune.sparse.isa.tables import NO_VIEW, View

KINDS = [
    kind
    for kind in vars(isa).values()
    if isinstance(kind, type) and issubclass(kind, isa.Operands) and hasattr(kind, "opcode")
]
VIEW = View(1, 2, 3, 4, 5)


def operands(kind):
    """Operands that all differ."""
    names = [field for field in fields(kind) if field.type is not View]
    numbers = {field.name: 10 + number for number, field in enumerate(names)}
    return kind(**numbers, **{f.name: VIEW for f in fields(kind) if f.type is View})


def test_every_opcode_has_operands():
    assert {kind.opcode for kind in KINDS} == set(isa.Opcode)


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_holds_its_opcode_and_operands_by_name(kind):
    instruction = operands(kind)

    record = encode(instruction)

    assert record["opcode"] == kind.opcode
    assert record["next"] == 0
    for field in fields(kind):
        assert record[field.name].tolist() == getattr(instruction, field.name)


@pytest.mark.parametrize("kind", KINDS)
def test_what_threads_share_an_instruction_by_is_first_in_every_record(kind):
    for base in (isa.Operands, isa.ChannelOperands):
        shared, whole = record_type(base), record_type(kind)
        assert [whole.fields[name] for name in shared.names] == list(shared.fields.values())


def test_missing_and_unknown_operands_are_refused():
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'input'"):
        isa.Unpack(channels=1, output=NO_VIEW)
    with pytest.raises(TypeError, match="unexpected keyword argument 'stride'"):
        isa.Pack(channels=1, output=NO_VIEW, stride=2)
    with pytest.raises(ValueError, match="could not assign tuple"):
        encode(isa.Pack(channels=1, output=(1, 2)))
