"""Converters of operators that pool."""

from lightprune.sparse.frontend.fx_call import FxCall, UnsupportedOp
from lightprune.sparse.ir import pools
from lightprune.sparse.ir.ops import Op


def pool(call: FxCall) -> Op:
    """Max or average pooling: only max pooling has a dilation."""
    source = call.value(call.arguments["self"])
    kernel = call.pair("kernel_size")
    stride, padding = call.pair("stride", kernel), call.pair("padding")
    ceil_mode, windows = bool(call.arguments["ceil_mode"]), (kernel, stride, padding)
    if call.arguments.get("divisor_override") is not None:
        raise UnsupportedOp("a divisor_override")
    if "dilation" not in call.arguments:
        include_pad = bool(call.arguments["count_include_pad"])
        return pools.AvgPool(call.node.name, (source,), *windows, include_pad, ceil_mode)
    dilation = call.pair("dilation")
    return pools.MaxPool(call.node.name, (source,), *windows, ceil_mode, dilation)


def adaptive_average(call: FxCall) -> Op:
    """Average pooling to a size."""
    source = call.value(call.arguments["self"])
    (_, *size), out = call.shapes[source], call.pair("output_size")
    if all(n % k == 0 for n, k in zip(size, out, strict=True)):
        window = (size[0] // out[0], size[1] // out[1])
        return pools.AvgPool(call.node.name, (source,), window, window, (0, 0), True)
    return pools.AdaptiveAvgPool(call.node.name, (source,), out)


def mean(call: FxCall) -> Op:
    """The mean over all pixels."""
    source, dims = call.value(call.arguments["self"]), call.arguments["dim"] or []
    rank = len(call.torch_shape(call.arguments["self"]))
    if rank < 3 or {d % rank for d in dims} != set(range(2, rank)):
        raise UnsupportedOp(
            f"a mean over dimensions {dims}; supported is one over height and width"
        )
    _, *size = call.shapes[source]
    window = (size[0], size[1])
    return pools.AvgPool(call.node.name, (source,), window, window, (0, 0), True)
