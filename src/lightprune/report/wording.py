"""How numbers read: accuracies, differences in points, with a spread where there is one."""

from lightprune.report.statistics import Summary


def accuracy_text(accuracy: Summary) -> str:
    """`86.80 %`, or `86.80 ± 0.22 %` for several seeds."""
    spread = "" if accuracy.spread is None else f" ± {100 * accuracy.spread:.2f}"
    return f"{100 * accuracy.mean:.2f}{spread} %"


def points_text(difference: Summary) -> str:
    """`−0.12`, or `−0.12 ± 0.05` for several seeds, in percentage points."""
    spread = "" if difference.spread is None else f" ± {100 * difference.spread:.2f}"
    return f"{points(difference.mean)}{spread}"


def points(share: float, decimals: int = 2) -> str:
    """A difference of shares in percentage points, with a sign that is a minus; 0 has none."""
    rounded = round(100 * share, decimals)
    return f"{rounded:+.{decimals}f}".replace("-", "−") if rounded else f"{0:.{decimals}f}"
