"""Converters of operators that pool."""

from lightprune.sparse.frontend.fx_call import FxCall, UnsupportedOp
from lightprune.sparse.ir import ops


def pool(call: FxCall) -> ops.Op:
    """Max or average pooling: only max pooling has a dilation."""
    source = call.value(call.arguments["self"])
    kernel = call.pair("kernel_size")
    stride, padding = call.pair("stride", kernel), call.pair("padding")
    if call.arguments.get("divisor_override") is not None:
        raise UnsupportedOp("a divisor_override")
    if "dilation" not in call.arguments:
        if call.arguments["ceil_mode"]:
            raise UnsupportedOp("ceil_mode=True")
        include_pad = bool(call.arguments["count_include_pad"])
        return ops.AvgPool(call.node.name, (source,), kernel, stride, padding, include_pad)
    if call.pair("dilation") != (1, 1):
        raise UnsupportedOp("a dilation")
    ceil_mode = bool(call.arguments["ceil_mode"])
    return ops.MaxPool(call.node.name, (source,), kernel, stride, padding, ceil_mode)


def adaptive_average(call: FxCall) -> ops.Op:
    """Average pooling to a size."""
    source = call.value(call.arguments["self"])
    (_, *size), out = call.shapes[source], call.pair("output_size")
    if all(n % k == 0 for n, k in zip(size, out, strict=True)):
        window = (size[0] // out[0], size[1] // out[1])
        return ops.AvgPool(call.node.name, (source,), window, window, (0, 0), True)
    return ops.AdaptiveAvgPool(call.node.name, (source,), out)


def mean(call: FxCall) -> ops.Op:
    """The mean over all pixels."""
    source, dims = call.value(call.arguments["self"]), call.arguments["dim"] or []
    rank = len(call.torch_shape(call.arguments["self"]))
    if rank < 3 or {d % rank for d in dims} != set(range(2, rank)):
        raise UnsupportedOp(
            f"a mean over dimensions {dims}; supported is one over height and width"
        )
    _, *size = call.shapes[source]
    window = (size[0], size[1])
    return ops.AvgPool(call.node.name, (source,), window, window, (0, 0), True)
