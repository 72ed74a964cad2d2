import copy
import io
import logging
import threading

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import resnet18

from lightprune.errors import InputError
from lightprune.models.live_tap_conv import use_live_taps
from lightprune.sparse.frontend.trace import trace
from lightprune.sparse.ir.elementwise import Activation, Add, Function, Multiply, Relu
from lightprune.sparse.ir.ops import Concat, Conv, Flatten, FullyConnected
from lightprune.sparse.ir.pools import AdaptiveAvgPool, AvgPool, MaxPool
from lightprune.sparse.ir.selections import PixelShuffle, SelectChannels, SelectPixels

SHAPE = (3, 8, 8)


class Around(nn.Module):
    """A convolution and any function of its result, a map (N, 4, 8, 8)."""

    def __init__(self, function):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.function = function

    def forward(self, x):
        return self.function(self.conv(x))


def last(function, shape=SHAPE):
    return trace(Around(function).eval(), shape).ops[-1]


def test_resnet18_becomes_its_layers_with_the_names_of_its_state_dict():
    resnet = resnet18(num_classes=10)
    traced = trace(resnet, (3, 32, 32))
    kinds = [type(op) for op in traced.ops]
    used = {name for op in traced.ops for name in op.tensors().values()}

    assert [kinds.count(kind) for kind in (Conv, FullyConnected, Add, Relu)] == [20, 1, 8, 17]
    assert used == {n for n in resnet.state_dict() if not n.endswith("num_batches_tracked")}
    assert traced.shapes[traced.output] == (10, 1, 1)
    assert traced.flat


def test_tracing_changes_neither_the_network_nor_its_mode():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU(True))
    network[1].eval()
    modes = [module.training for module in network.modules()]
    before = copy.deepcopy(network.state_dict())
    trace(network, SHAPE)

    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(before[n], t) for n, t in network.state_dict().items())


def test_tracing_under_autocast_gives_the_same_graph():
    layer = nn.Conv2d(3, 4, 3)
    expected = trace(layer, SHAPE)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert trace(layer, SHAPE) == expected


class Remembers(nn.Conv2d):
    """Keeps what it computed last in a buffer."""

    def __init__(self):
        super().__init__(3, 4, 1)
        self.register_buffer("last", torch.zeros(2, 4, 8, 8))

    def forward(self, x):
        self.last = super().forward(x)
        return self.last.relu()


def test_tracing_does_not_change_a_buffer_that_each_call_changes():
    network = Remembers()

    assert len(trace(network, SHAPE).ops) == 2
    assert network.last.shape == (2, 4, 8, 8)
    assert not network.last.any()


def test_layers_that_train_on_live_taps_are_traced_as_the_convolutions_they_are():
    layer = nn.Conv2d(3, 4, 3, padding=1)
    expected = trace(layer, (3, 1, 1))

    assert trace(use_live_taps(layer), (3, 1, 1)) == expected


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_string_padding_becomes_numbers():
    layer = nn.Conv2d(3, 4, (2, 3), padding="same", dilation=(1, 2))

    assert trace(layer, SHAPE).ops[0].padding == ((0, 1), (2, 2))
    assert trace(nn.Conv2d(3, 4, 3, padding="valid"), SHAPE).ops[0].padding == ((0, 0), (0, 0))


def test_an_in_place_operation_changes_what_every_later_op_reads():
    def function(x):
        x.relu_()
        x += x
        return x

    relu, add = trace(Around(function), SHAPE).ops[1:]

    assert add == Add(add.name, (relu.name, relu.name))


def test_a_layer_used_twice_names_the_same_tensors_twice():
    layer = nn.Conv2d(3, 3, 1)
    first, second = trace(nn.Sequential(layer, nn.ReLU(), layer), SHAPE).ops[::2]

    assert first.tensors() == second.tensors() == {"weight": "0.weight", "bias": "0.bias"}


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda x: x.mean((-1, 2)), AvgPool),
        (lambda x: F.adaptive_avg_pool2d(x, 1).squeeze(), AvgPool),
        (lambda x: F.adaptive_avg_pool2d(x, (2, 4)), AvgPool),
        (lambda x: F.adaptive_avg_pool2d(x, 16), AdaptiveAvgPool),
        (lambda x: x.view(len(x), -1), Flatten),
        (lambda x: F.dropout(x.reshape(len(x), 256), training=False), Flatten),
        (lambda x: torch.cat([x, x, x], dim=-3), Concat),
        (lambda x: nn.Identity()(torch.relu(x).contiguous()), Relu),
        (lambda x: x * x.mean((2, 3), keepdim=True), Multiply),
        (lambda x: x.mean((2, 3), keepdim=True) * x, Multiply),
        (lambda x: x[:, 1:3], SelectChannels),
        (lambda x: x.chunk(2, 1)[1], SelectChannels),
        (lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True), MaxPool),
        (lambda x: F.max_pool2d(x, 2, dilation=2), MaxPool),
        (lambda x: F.avg_pool2d(x, 3, ceil_mode=True), AvgPool),
        (lambda x: F.pad(x, (0, 0, 0, 0, 2, 2)), SelectChannels),
        (lambda x: F.interpolate(x, size=(12, 20)), SelectPixels),
        (lambda x: F.pixel_shuffle(x, 2), PixelShuffle),
    ],
)
def test_functional_calls_are_converted(function, kind):
    assert type(last(function)) is kind


@pytest.mark.parametrize(
    ("function", "rows", "columns"),
    [
        (lambda x: x[..., ::2, :], (0, 2), (0, 1)),
        (lambda x: F.interpolate(x, scale_factor=2), (0, 0, 1, 1, 2, 2), (0, 0, 1, 1)),
        (lambda x: F.interpolate(x, size=(2, 5)), (0, 1), (0, 0, 0, 1, 1)),
        (lambda x: F.interpolate(x, size=(2, 1), mode="nearest-exact"), (0, 2), (1,)),
        (lambda x: F.pad(x, (2, 0, -1, 1)), (1, 2, -1), (-1, -1, 0, 1)),
        (lambda x: F.pad(x, (0, 1, 2, 0), "replicate"), (0, 0, 0, 1, 2), (0, 1, 1)),
        (lambda x: F.pad(x, (1, 0, 1, 0), "reflect"), (1, 0, 1, 2), (1, 0, 1)),
        (lambda x: F.pad(x, (1, 0, 0, 0), "circular"), (0, 1, 2), (1, 0, 1)),
    ],
)
def test_crops_upsampling_and_padding_are_rows_and_columns(function, rows, columns):
    op = last(function, (3, 3, 2))

    assert (op.rows, op.columns) == (rows, columns)


def test_slices_of_everything_are_nothing():
    assert len(trace(Around(lambda x: x[:, :, :][..., 0:8]), SHAPE).ops) == 1


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (F.relu6, Function("clamp", (0.0, 6.0))),
        (lambda x: F.hardtanh(x, -2, 3), Function("clamp", (-2.0, 3.0))),
        (lambda x: x.clamp(0, 1), Function("clamp", (0.0, 1.0))),
        (lambda x: F.leaky_relu(x, 0.2), Function("leaky_relu", (0.2, 0.0))),
        (F.gelu, Function("gelu")),
        (lambda x: F.gelu(x, approximate="tanh"), Function("gelu_tanh")),
    ],
)
def test_activations_are_converted_with_their_parameters(function, expected):
    op = last(function)

    assert type(op) is Activation
    assert op.function == expected


@pytest.mark.parametrize("groups", [2, 4])
def test_reshapes_that_shuffle_channels_are_one_selection(groups):
    def swapped(x):
        n, c, h, w = x.shape
        return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)

    (op,) = trace(Around(swapped), SHAPE).ops[1:]

    expected = swapped(torch.arange(4)[None, :, None, None]).flatten().tolist()
    assert op.channels == tuple(expected)
    assert last(lambda x: F.channel_shuffle(x, groups)).channels == op.channels


@pytest.mark.parametrize("sizes", [(-1, 4, 8, 4, 2), (1, -1, 4, 8, 8)], ids=["rows", "images"])
def test_reshapes_that_swap_channels_with_something_else_are_no_selection(sizes):
    with pytest.raises(InputError, match=r"transpose|reshape|view"):
        trace(Around(lambda x: x.view(sizes).transpose(1, 2).reshape(x.shape)), SHAPE)


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (torch.tanh, "tanh"),
        (lambda x: x[1:], "slice.*along dimension 0"),
        (lambda x: F.pad(x, (1, 1), value=1.0), "pad.*by 1.0"),
        (lambda x: F.pad(x, (1, 1, 0, 0, 1, 1)), "pad=.1, 1, 0, 0, 1, 1."),
        (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), "upsample_bilinear2d"),
        (lambda x: x * x.mean(1, keepdim=True), "mean"),
        (lambda x: x * x[:, :1], "mul"),
        (lambda x: F.leaky_relu(x, -1.0), "negative_slope=-1.0"),
        (lambda x: x.clamp(min=1), "max=None|min=1"),
        (lambda x: x * 2, "mul"),
        (lambda x: x + 1, "add"),
        (lambda x: torch.add(x, x, alpha=2), "alpha=2"),
        (lambda x: F.dropout(x, training=True), "dropout"),
        (lambda x: F.max_pool2d(x[..., :2], 2, dilation=(1, 3), padding=1), "between the taps"),
        (lambda x: F.avg_pool2d(x, 2, divisor_override=3), "divisor_override"),
        (lambda x: torch.cat([x, x], 0), "along dimension 0"),
        (lambda x: x.mean(1), "mean"),
        (lambda x: F.linear(x, x[0, 0]), "linear"),
        (lambda x: x.flatten(0), "reshape"),
        (lambda x: x.permute(0, 1, 3, 2), "permute"),
        (lambda x: x + x.mean((2, 3), keepdim=True), "add"),
        (lambda x: (x, x), "output"),
        (lambda x: 3.0, "output"),
        (lambda x: x if x.sum() > 0 else -x, "cannot be traced"),
    ],
)
def test_an_unsupported_operator_is_refused_by_name(function, named):
    with pytest.raises(InputError, match=named) as refused:
        last(function)

    assert len(str(refused.value).splitlines()) == 1


def test_an_error_names_the_module():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.ReLU(), nn.Tanh()))

    with pytest.raises(InputError, match=r"tanh in 1\.1: this operation is not known; supported"):
        trace(network, SHAPE)


def test_weights_that_are_computed_are_refused():
    layer = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 1))

    with pytest.raises(InputError, match="weight_norm"):
        trace(layer, SHAPE)


def test_batch_norm_without_running_statistics_is_refused():
    with pytest.raises(InputError, match="batch_norm"):
        trace(nn.BatchNorm2d(3, track_running_stats=False), SHAPE)


class BranchesOnBatch(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.several = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.one(x) if len(x) == 1 else self.several(x)


def test_a_network_that_treats_one_image_otherwise_is_refused_in_one_line():
    with pytest.raises(InputError, match=r"^BranchesOnBatch computes something"):
        trace(BranchesOnBatch(), SHAPE)


@pytest.mark.parametrize(
    ("shape", "named"), [((4, 8, 8), "expected input"), ((3, 1, 1), "too small")]
)
def test_images_that_do_not_fit_the_network_are_refused_in_one_line(shape, named, capfd):
    with pytest.raises(InputError, match=named):
        trace(nn.Sequential(nn.Conv2d(3, 4, 1), nn.MaxPool2d(2)), shape)

    assert capfd.readouterr() == ("", "")


class Branches(nn.Module):
    """Logs, and branches on the image's values, which torch logs as well."""

    def __init__(self, during=lambda: None):
        super().__init__()
        self.during = during

    def forward(self, x):
        logging.getLogger("own.network").warning("from the network")
        self.during()
        return x if x.sum() > 0 else x.flatten(1)


@pytest.fixture
def logged():
    """What any handler of torch's or of the root logger writes."""
    stream = io.StringIO()
    handlers = {
        logging.getLogger(name): logging.StreamHandler(stream)
        for name in (None, "torch.fx.experimental.symbolic_shapes", "torch.export")
    }
    for logger, handler in handlers.items():
        logger.addHandler(handler)
    yield stream
    for logger, handler in handlers.items():
        logger.removeHandler(handler)


def test_torch_logs_nothing_while_tracing(logged):
    with pytest.raises(InputError, match="cannot be traced"):
        trace(Branches(lambda: logging.getLogger("torch.export").error("from torch")), SHAPE)

    assert logged.getvalue() == "from the network\n"


def test_other_threads_log_while_one_traces(logged):
    def log_elsewhere():
        for name in ("own.other", "torch.export"):
            thread = threading.Thread(target=logging.getLogger(name).error, args=(f"by {name}",))
            thread.start()
            thread.join()

    with pytest.raises(InputError):
        trace(Branches(log_elsewhere), SHAPE)

    assert "by own.other\n" in logged.getvalue()
    assert "by torch.export\n" in logged.getvalue()


def test_logging_is_as_before_after_tracing(logged):
    filters = {h: list(h.filters) for h in logging.getLogger("torch.export").handlers}
    trace(nn.Conv2d(3, 4, 3), SHAPE)
    logging.getLogger("torch.export").error("afterwards")

    assert {h: list(h.filters) for h in logging.getLogger("torch.export").handlers} == filters
    assert logging.root.manager.disable == logging.NOTSET
    assert "afterwards" in logged.getvalue()
