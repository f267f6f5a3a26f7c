"""What this machine's processor can do."""

from __future__ import annotations

from pathlib import Path


def has_bfloat16() -> bool:
    """Whether the CPU multiplies in bfloat16 (AVX-512 or AMX); False where that cannot be told."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
