"""How numbers read: counts, shares, differences of shares, MACs, file sizes, times."""


def counted(count: int, noun: str) -> str:
    """`1 run`, `2,000 runs`, `2 batches`."""
    plural = "es" if noun.endswith(("ss", "tch")) else "s"
    return f"{count:,} {noun}{'' if count == 1 else plural}"


def percent(share: float | None, decimals: int = 2, *, unknown: str = "unknown") -> str:
    """A share with a fixed number of decimals, `86.80 %`; `unknown` if there is none."""
    return unknown if share is None else f"{100 * share:.{decimals}f} %"


def percent_label(share: float) -> str:
    """A share as `98 %`, `94.24 %`: as many decimals as it needs, at most two."""
    return f"{round(100 * share, 2):g} %"


def pp_label(share: float, decimals: int = 2) -> str:
    """A difference of shares in percentage points, with a sign that is a minus; 0 has none."""
    rounded = round(100 * share, decimals)
    return f"{rounded:+.{decimals}f}".replace("-", "−") if rounded else f"{0:.{decimals}f}"


def millions(count: float | None) -> str:
    """A count as `555.4 M`."""
    return "unknown" if count is None else f"{count / 1e6:.1f} M"


def megabytes(size: int) -> str:
    """A file size in bytes as `1.3 MB`: at least two digits."""
    return f"{_digits(size / 1e6, 2)} MB"


def milliseconds(seconds: float) -> str:
    """A time in milliseconds, without their name: at least three digits."""
    return _digits(1e3 * seconds, 3)


def duration(seconds: float) -> str:
    """A time that was measured: `63 s`, `25 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def about(seconds: float) -> str:
    """A time that is known roughly: `about 40 s`, `about 12 min`, `about 2.5 h`."""
    if seconds < 90:
        return f"about {max(1, round(seconds, -1 if seconds >= 20 else 0)):.0f} s"
    if seconds < 90 * 60:
        return f"about {seconds / 60:.0f} min"
    return f"about {_digits(seconds / 3600, 2)} h"


def _digits(value: float, count: int) -> str:
    """So many digits, or all of a larger number: never with an exponent."""
    return f"{value:.0f}" if value >= 10 ** (count - 1) else f"{value:.{count}g}"
