"""Work spread over threads, its results in the order of its inputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """Yield ``function(item)`` of each item, in order, from ``threads`` threads; an exception stops the rest.

    For functions that spend their time outside the interpreter lock (sparse products, sorts, torch).
    """
    pool = ThreadPoolExecutor(threads)
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)


def thread_count(threads: int) -> int:
    """``threads``, or every core this process may use where it is 0 (``run.threads``)."""
    return threads or len(os.sched_getaffinity(0))
