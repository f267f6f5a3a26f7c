"""Numbers as people read them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

#: Stands where there is no figure.
ABSENT: Final = "\N{EN DASH}"
_MINUS: Final = "\N{MINUS SIGN}"


def count(value: int) -> str:
    """``1,234,567``."""
    return f"{value:,}"


def percent(share: float) -> str:
    """``12.3 %`` of a share in 0..1."""
    return f"{100 * share:.1f} %"


def figure(value: float) -> str:
    """Three decimals, four below 0.01."""
    return f"{value:.4f}" if 0 < abs(value) < 0.01 else f"{value:.3f}"


def signed(value: float) -> str:
    """``figure`` with its sign, a true minus."""
    return f"{'+' if value > 0 else _MINUS if value < 0 else ''}{figure(abs(value))}"


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 07 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def memory(num_bytes: int) -> str:
    """``512 MiB``, ``1.5 GiB``."""
    return f"{num_bytes / 2**30:.1f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.0f} MiB"


def day(moment: datetime | None) -> str:
    """``2024-03-01``, or with the time of day where it is not midnight; a dash for None."""
    if moment is None:
        return ABSENT
    return moment.strftime("%Y-%m-%d" if moment.time().isoformat() == "00:00:00" else "%Y-%m-%d %H:%M")
