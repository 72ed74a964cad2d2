import pytest

from lightprune.errors import InputError
from lightprune.sparse.frontend.trace import trace
from lightprune.sparse.runtime.explain import explain
from tests.sparse.lowering import Residual, arrays, block


@pytest.fixture(scope="module")
def network():
    """A residual network of which two channels of the block's first convolution are pruned."""
    network = Residual(block()).eval()
    network.block[0].weight.data[:2] = 0
    network.block[0].weight.data[2:, 0] = 0
    return network


@pytest.fixture(scope="module")
def text(network):
    return explain(trace(network, (2, 5, 5)), arrays(network))


def test_every_stage_is_printed_in_order(text):
    heads = [line for line in text.splitlines() if line.startswith(("graph:", "after "))]

    assert [head.partition(":")[0] for head in heads] == [
        "graph",
        "after legalize",
        "after propagate_copies",
        "after fold_gathers",
        "after fold_batch_norms",
        "after compose_selections",
        "after fold_constants",
        "after eliminate_dead_channels",
        "after fuse",
        "after propagate_copies",
        "after crop_kernels",
        "after cast",
    ]


def test_each_pass_says_what_it_changed(text):
    # 5 x 5 outputs of 2 * 36 + (4 - 2) * 3 * 9 + 4 * 36 weights and 2 norms of 4; then 4 * 3.
    assert "after legalize: 11 steps, 45 channels, 6,962 multiplications" in text
    assert "after propagate_copies: no change\n\n" in text
    assert "after fold_batch_norms: steps 11 -> 9, channels 45 -> 37, multiplications 6" in text
    # The second convolution no longer reads the two pruned channels.
    assert "after fold_constants: multiplications 6,762 -> 4,962" in text
    assert "after eliminate_dead_channels: channels 37 -> 33" in text
    assert "after fuse: steps 9 -> 5, channels 33 -> 19" in text


def test_a_step_shows_its_shape_what_it_reads_and_its_weights(text):
    last = text[text.index("after cast") :].splitlines()
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in last if line.startswith("  ")}

    assert lines["relu_2"].startswith(
        "4x5x5 conv(relu_1) 3x3, padding ((1, 1), (1, 1)), 72 of 72 float32 weights, "
        "residual relu, relu block.3/block.4"
    )
    assert lines["mean"].startswith("4x1x1 pool(relu_2) avg, 5x5, stride 5x5")


def test_the_graph_shows_the_settings_of_every_op(text):
    graph = text[: text.index("after legalize")]
    lines = [" ".join(line.split()) for line in graph.splitlines()]

    assert "input 2x5x5" in lines
    assert "linear 3x1x1 Linear(mean) weight=fc.weight bias=fc.bias features=3" in lines


def test_a_network_that_cannot_be_compiled_is_refused(network):
    state = {**arrays(network)}
    del state["fc.weight"]

    with pytest.raises(InputError, match=r"no tensor 'fc\.weight'"):
        explain(trace(network, (2, 5, 5)), state)
