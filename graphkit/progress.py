"""Progress on standard error: a bar with the time left on a terminal, nothing elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def quiet() -> bool:
    """Whether progress is off: ``--quiet`` (GRAPHKIT_QUIET=1) or standard error is no terminal."""
    return os.environ.get("GRAPHKIT_QUIET") == "1" or not sys.stderr.isatty()


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield ``items`` while a bar named ``description`` shows how many of ``total`` are done."""
    if quiet():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(items, description=description, total=total, console=Console(stderr=True))


def say(message: str) -> None:
    """Print one line of news to standard error, unless quiet was asked for."""
    if os.environ.get("GRAPHKIT_QUIET") != "1":
        print(message, file=sys.stderr, flush=True)
