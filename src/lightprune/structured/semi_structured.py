"""2:4 weights for the GPUs that have kernels for them: linear layers as semi-structured tensors."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.sparse import to_sparse_semi_structured

from lightprune.errors import InputError, first_line

# Their kernels for evaluation take weights past the layers, and know dense ones only.
_FUSED = (nn.MultiheadAttention, nn.TransformerEncoderLayer)
# The first GPUs with sparse tensor cores (Ampere).
_CAPABILITY = (8, 0)
_KEEP, _OF = 2, 4


@dataclass(frozen=True)
class ConvertedLayers:
    """The layers that are semi-structured now, and why each of the others stays dense, by name."""

    layers: tuple[str, ...]
    skipped: dict[str, str]


def semi_structured_(network: nn.Module) -> ConvertedLayers:
    """Turns the weights of linear layers that follow 2:4 into torch's semi-structured tensors.

    The GPU's sparse tensor cores then skip the zeros; half precision is what they are made for.
    Whether that saves time is to be measured (docs/pruning-options.md). The network, on a CUDA GPU
    and in float16 or bfloat16, is changed in place and cannot be trained any more. Convolutions
    stay as they are, since torch has no semi-structured convolution. Source: Mishra et al. 2021,
    "Accelerating Sparse Deep Neural Networks"; the tensors are `torch.sparse`'s.

        model = nn.Sequential(nn.Linear(64, 64), nn.ReLU()).half().cuda()
        pruner = lightprune.Pruner(pattern="2:4")
        lightprune.prune(model, 0.5, pruner, lightprune.Targets(types=("Linear",)))
        print(lightprune.semi_structured_(model).layers)

    Raises:
        InputError: It is not on a GPU with sparse tensor cores.
    """
    _check_device(next((p.device for p in network.parameters()), torch.device("cpu")))
    fused = {name: type(m).__name__ for name, m in network.named_modules() if isinstance(m, _FUSED)}
    skipped = {name: f"the kernel of {kind} takes dense weights" for name, kind in fused.items()}
    layers = []
    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Linear) or name.startswith(tuple(f"{f}." for f in fused)):
            continue
        if not is_2_4_sparse(layer.weight):
            skipped[name] = f"its weights are not {_KEEP}:{_OF}"
            continue
        try:
            sparse = to_sparse_semi_structured(layer.weight.detach().contiguous())
        except RuntimeError as error:  # Of a shape or type that the GPU's kernels do not take.
            skipped[name] = first_line(error)
            continue
        layer.weight = nn.Parameter(sparse, requires_grad=False)
        layers.append(name)
    return ConvertedLayers(tuple(layers), skipped)


def is_2_4_sparse(weight: Tensor) -> bool:
    """Whether of each 4 consecutive weights of every row at most 2 are not zero."""
    rows, columns = weight.shape
    if columns % _OF:
        return False
    groups = weight.detach().reshape(rows, columns // _OF, _OF)
    return bool((groups.count_nonzero(2) <= _KEEP).all())


def _check_device(device: torch.device) -> None:
    at_hand = device.type == "cuda" and torch.version.cuda is not None
    if not at_hand or torch.cuda.get_device_capability(device) < _CAPABILITY:
        raise InputError(
            f"device={device}: has no sparse tensor cores; allowed is a CUDA GPU of compute "
            f"capability {_CAPABILITY[0]}.{_CAPABILITY[1]} or above. Elsewhere 2:4 weights are "
            "dense ones with zeros in them, which the sparse runtime skips on a CPU"
        )
