"""Instructions as records of int64, which is how kernels read them."""

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.isa.instruction import Operands
from lightprune.sparse.isa.tables import View, table_type

Record = NDArray[np.void]


def record_type(operands: type[Operands]) -> np.dtype[np.void]:
    """The record type of an instruction: opcode, address of the fused next one (or 0), operands.

    Those of a base class are the first of its subclasses'.
    """
    view = table_type(View)
    named = [(field.name, view if field.type is View else np.int64) for field in fields(operands)]
    return np.dtype([("opcode", np.int64), ("next", np.int64), *named])


def encode(operands: Operands) -> Record:
    """The instruction with these operands, as the kernels read it."""
    record = np.zeros((), record_type(type(operands)))
    record["opcode"] = operands.opcode
    for field in fields(operands):
        record[field.name] = getattr(operands, field.name)
    return record
