"""Activation functions on vectors in memory, in LLVM IR; exponentials are Cephes' expf."""

from collections.abc import Callable
from typing import Any, get_args

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from lightprune.sparse.ir.elementwise import Function, FunctionName
from lightprune.sparse.isa.register_blocks import LANES, NARROW_LANES
from lightprune.sparse.jit.atomics import code_of
from lightprune.sparse.jit.loop_builder import BYTES, FLOAT, I32, I64
from lightprune.sparse.kernels.microkernel import broadcast, raise_to

_NAMES = get_args(FunctionName)
_LOG2_E, _LN2_HIGH, _LN2_LOW = 1.44269504088896341, 0.693359375, -2.12194440e-4
_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5)
# Abramowitz and Stegun, 7.1.26: 1 - erf(a) = polynomial(1 / (1 + p * a)) * exp(-a * a).
_ERF = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592, 0.0)
_ERF_P = 0.3275911
_GELU_TANH = 2 * 0.7978845608028654


def code_of_function(function: Function | None) -> int:
    """What an instruction calls a function by; 0 for none."""
    return 0 if function is None else 1 + _NAMES.index(function.name)


class _Math:
    """Emits arithmetic on vectors of some lanes."""

    def __init__(self, builder: ir.IRBuilder, lanes: int, parameters: tuple[ir.Value, ...]) -> None:
        self.b, self.lanes = builder, lanes
        self.vector = ir.VectorType(FLOAT, lanes)
        self.first, self.second = (broadcast(builder, p, lanes) for p in parameters)

    def constant(self, value: float) -> ir.Value:
        return ir.Constant(self.vector, [value] * self.lanes)

    def call(self, name: str, *arguments: ir.Value, result: ir.Type | None = None) -> ir.Value:
        result = result or self.vector
        kind = ir.FunctionType(result, [self.vector] * len(arguments))
        suffix = f"v{self.lanes}i32.v{self.lanes}f32" if result != self.vector else ""
        suffix = suffix or f"v{self.lanes}f32"
        function = cgutils.get_or_insert_function(self.b.module, kind, f"llvm.{name}.{suffix}")
        return self.b.call(function, arguments)

    def polynomial(self, x: ir.Value, coefficients: tuple[float, ...]) -> ir.Value:
        """By Horner's rule, the highest power's coefficient first."""
        value = self.constant(coefficients[0])
        for coefficient in coefficients[1:]:
            value = self.call("fma", value, x, self.constant(coefficient))
        return value

    def clamp(self, x: ir.Value, low: ir.Value, high: ir.Value) -> ir.Value:
        """NaN stays."""
        raised = raise_to(self.b, x, low)
        return self.b.select(self.b.fcmp_ordered(">", raised, high), high, raised)

    def exp(self, x: ir.Value) -> ir.Value:
        """The exponential: at least that of -87, a normal number; infinity from 88.4 on."""
        b = self.b
        # The exponent's bits of what is clamped to 89 are infinity's.
        x = self.clamp(x, self.constant(-87.0), self.constant(89.0))
        n = self.call("rint", b.fmul(x, self.constant(_LOG2_E)))
        r = self.call("fma", n, self.constant(-_LN2_HIGH), x)
        r = self.call("fma", n, self.constant(-_LN2_LOW), r)
        y = self.call("fma", self.polynomial(r, _EXP), b.fmul(r, r), r)
        y = b.fadd(y, self.constant(1.0))
        integers = ir.VectorType(I32, self.lanes)
        power = self.call("fptosi.sat", n, result=integers)
        biased = b.add(power, ir.Constant(integers, [127] * self.lanes))
        bits = b.shl(biased, ir.Constant(integers, [23] * self.lanes))
        return b.fmul(y, b.bitcast(bits, self.vector))

    def over_one_plus_exp(self, numerator: ir.Value, x: ir.Value) -> ir.Value:
        """Numerator / (1 + exp(-x))."""
        power = self.exp(self.b.fneg(x))
        return self.b.fdiv(numerator, self.b.fadd(power, self.constant(1.0)))

    def hardsigmoid(self, x: ir.Value) -> ir.Value:
        shifted = self.b.fadd(x, self.constant(3.0))
        clamped = self.clamp(shifted, self.constant(0.0), self.constant(6.0))
        return self.b.fdiv(clamped, self.constant(6.0))

    def leaky_relu(self, x: ir.Value) -> ir.Value:
        below = self.b.fcmp_ordered("<", x, self.constant(0.0))
        return self.b.select(below, self.b.fmul(x, self.first), x)

    def gelu(self, x: ir.Value) -> ir.Value:
        """X / 2 * (1 + erf(x / sqrt(2)))."""
        b = self.b
        a = b.fmul(self.call("fabs", x), self.constant(0.5**0.5))
        one = self.constant(1.0)
        t = b.fdiv(one, self.call("fma", a, self.constant(_ERF_P), one))
        rest = b.fmul(self.polynomial(t, _ERF), self.exp(b.fneg(b.fmul(a, a))))
        half = b.fmul(rest, self.constant(0.5))
        below = b.fcmp_ordered("<", x, self.constant(0.0))
        return b.fmul(x, b.select(below, half, b.fsub(one, half)))

    def gelu_tanh(self, x: ir.Value) -> ir.Value:
        b = self.b
        cubic = self.call("fma", b.fmul(x, x), self.constant(0.044715), self.constant(1.0))
        inner = b.fmul(b.fmul(x, cubic), self.constant(_GELU_TANH))
        return self.over_one_plus_exp(x, inner)


_FUNCTIONS: dict[FunctionName, Callable[[_Math, ir.Value], ir.Value]] = {
    "clamp": lambda m, x: m.clamp(x, m.first, m.second),
    "leaky_relu": _Math.leaky_relu,
    "hardsigmoid": _Math.hardsigmoid,
    "hardswish": lambda m, x: m.b.fmul(x, m.hardsigmoid(x)),
    "sigmoid": lambda m, x: m.over_one_plus_exp(m.constant(1.0), x),
    "silu": lambda m, x: m.over_one_plus_exp(x, x),
    "gelu": _Math.gelu,
    "gelu_tanh": _Math.gelu_tanh,
}


def _applied(lanes: int) -> Any:
    def emit(builder, code, to, count, first, second):
        maths = _Math(builder, lanes, (first, second))
        ended = builder.append_basic_block("ended")
        switch = builder.switch(code, ended)
        for number, name in enumerate(_NAMES, 1):
            case = builder.append_basic_block(name)
            switch.add_case(I64(number), case)
            builder.position_at_end(case)
            with cgutils.for_range(builder, count) as loop:
                address = builder.add(to, builder.mul(loop.index, I64(lanes * BYTES)))
                pointer = builder.inttoptr(address, maths.vector.as_pointer())
                value = builder.load(pointer)
                value.align = BYTES
                builder.store(_FUNCTIONS[name](maths, value), pointer).align = BYTES
            builder.branch(ended)
        builder.position_at_end(ended)

    floats = (types.float32, types.float32)
    return code_of(types.void(types.int64, types.int64, types.int64, *floats), emit)


@intrinsic
def apply_to_vectors(_typing, code, to, count, first, second):
    """Applies a function, by its code, to `count` vectors in place, from the address `to` on.

    `first` and `second` are its parameters. Errors of exp and erf are below 2e-7.
    """
    return _applied(LANES)


@intrinsic
def apply_to_narrow_vectors(_typing, code, to, count, first, second):
    """As `apply_to_vectors`, for vectors of `NARROW_LANES`."""
    return _applied(NARROW_LANES)
