"""`summary`: what every weight of a module costs, as a table."""

from dataclasses import dataclass

from torch import nn

from lightprune.pruning.cost.cost_report import CostReport, LayerCost, cost_report
from lightprune.pruning.cost.example import Example
from lightprune.pruning.targets import ANY_LAYER, Targets

_COLUMNS = ("weight", "weights", "zeros", "live zeros", "MACs", "MACs left")


@dataclass(frozen=True)
class Summary(CostReport):
    """The cost of a module; prints itself as a table."""

    def __str__(self) -> str:
        table = [_COLUMNS, *(_row(name, cost) for name, cost in self.layers.items())]
        table.append(_row("total", self.total))
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        return "\n".join(
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
            for row in table
        )


def _row(name: str, cost: LayerCost) -> tuple[str, ...]:
    live_zeros = cost.live - cost.live_nnz
    counts = (cost.weights, cost.weights - cost.nnz, live_zeros, cost.macs, cost.macs_live)
    return (name, *("unknown" if count is None else f"{count:,}" for count in counts))


def summary(module: nn.Module, example: Example, targets: Targets = ANY_LAYER) -> Summary:
    """Counts weights, zeros and multiplications of a module as it stands.

        model = torchvision.models.resnet18(num_classes=10)
        lightprune.prune(model, 0.9)
        print(lightprune.summary(model, torch.zeros(1, 3, 32, 32)))

    Live zeros are those that some input of this size reaches; MACs left are those of live weights
    that are not zero.

    Args:
        module: Any.
        example: A batch of the module's inputs, on its device: a tensor, a tuple of tensors, or a
            dict of them by argument name.
        targets: Of which weights.

    Raises:
        InputError: The module has none of them, or an example reaches none.
    """
    report = cost_report(module, targets.find(module), example)
    return Summary(report.layers, report.parameters)
