"""The memory a build may take, and what it says where that is too little."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from graphkit.errors import ConfigError

_UNITS: Final = {"": 1, "B": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40} | {
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}


def parse_memory(text: str, key: str = "graph.memory") -> int:
    """Bytes of ``4GiB``, ``800 MB``, …; raises ConfigError, naming the setting ``key``, for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    unit = _UNITS.get(match.group(2).upper()) if match else None
    if match is None or unit is None or not float(match.group(1)):
        raise ConfigError(
            f"{key} is no amount of memory",
            expected="a number and a unit, as 4GiB or 800MiB",
            found=repr(text),
            fix=f"--set {key}=4GiB",
        )
    return int(float(match.group(1)) * unit)


@dataclass(frozen=True)
class MemoryLimit:
    """A bound on this process's resident memory, checked before each step that allocates."""

    limit: int

    @classmethod
    def of(cls, text: str) -> MemoryLimit:
        return cls(parse_memory(text))

    def check(self, step: str, needed: int) -> None:
        """Raise ConfigError where ``needed`` more bytes do not fit, with the least limit that would do."""
        if resident_bytes() + needed > self.limit:
            raise self.too_small(step, needed)

    def too_small(self, step: str, needed: int) -> ConfigError:
        """The error for a step that takes ``needed`` more bytes."""
        least = -(-(resident_bytes() + needed) // 2**20)
        return ConfigError(
            f"the memory limit is too small to {step}",
            expected=f"at least {least:,} MiB: {needed / 2**20:,.0f} MiB for this step, the rest is in use",
            found=f"{self.limit / 2**20:,.0f} MiB",
            fix=f"--memory {least + 64}MiB, or a lower graph.top_k or graph.max_items_per_user, "
            "or a shorter graph.window_days",
        )

    @property
    def free(self) -> int:
        """What is left, at least nothing."""
        return max(self.limit - resident_bytes(), 0)


def resident_bytes() -> int:
    """The resident size of this process now; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    import os

    return pages * os.sysconf("SC_PAGE_SIZE")
