"""Machine code from Python loops (numba), kept on disk between runs where a folder can be written.

What is kept is renewed when the file of the function changes, not when a function it calls does: functions that
call each other stand in one file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile ``function`` on its first call, without the interpreter lock, so that threads run side by side."""
    try:
        return cast(F, njit(nogil=True, cache=True)(function))
    except RuntimeError:  # neither the package's folder nor a home folder can be written
        return cast(F, njit(nogil=True)(function))
