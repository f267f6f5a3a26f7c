"""The compiled loops of a count: a row added up over its owners, what of it becomes edges, and the top K.

One file, since compiled code is kept by the file it stands in (``graphkit.compiled``).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from graphkit.compiled import compiled
from graphkit.graph.incidence import Floats, Ints, Lists, Longs
from graphkit.ties import GOLDEN, MIX_1, MIX_2

#: The selection of the top K holds this many times K candidates.
BUFFER: Final = 4
#: The three shapes that the five weights take: c p_i p_j, its logarithm, c / (p_i + p_j - c).
PRODUCT: Final = 0
LOG_PRODUCT: Final = 1
RATIO: Final = 2


class Formula(NamedTuple):
    """A weight as it is evaluated here (``graphkit.graph.weights``): a ``shape`` and one number per node, ``p``."""

    shape: int
    src: npt.NDArray[np.float64]  # [num_src], p of the sources
    dst: npt.NDArray[np.float64]  # [num_dst]
    shrinkage: float


class Rules(NamedTuple):
    """What makes an edge of a counted pair."""

    min_support: int
    top_k: int  # 0: all
    same_type: bool
    max_gap_ms: int  # 0: no limit
    seed: int


class Scratch(NamedTuple):
    support: Ints  # [num_src], zero between rows
    mass: npt.NDArray[np.float64]  # [num_src] where pairs are weighted, else [0]; zero between rows
    stamp: Longs  # [num_src] under a gap limit: the last owner that counted, else [0]
    touched: Ints  # [num_src], the sources of a sparse row
    candidate: Ints  # [num_src], the sources that may become edges
    weight: Floats  # [num_src], theirs
    keys: npt.NDArray[np.uint64]  # [a few top_k], of the strongest so far
    kept: Ints  # [a few top_k], theirs
    packed: npt.NDArray[np.uint64]  # [num_src], source and weight of what is kept

    @classmethod
    def of(cls, width: int, weighted: bool, rules: Rules) -> Scratch:
        return cls(
            np.zeros(width, np.int32),
            np.zeros(width if weighted else 0, np.float64),
            np.full(width if rules.max_gap_ms else 0, -1, np.int64),
            np.empty(width, np.int32),
            np.empty(width, np.int32),
            np.empty(width, np.float32),
            np.empty(BUFFER * min(rules.top_k, width), np.uint64),
            np.empty(BUFFER * min(rules.top_k, width), np.int32),
            np.empty(width, np.uint64),
        )


@compiled
def count_rows(
    src: Lists,
    dst: Lists,
    bounds: tuple[int, int],
    formula: Formula,
    rules: Rules,
    scratch: Scratch,
    degree: Longs,
    out_src: Ints,
    out_support: Ints,
    out_weight: Floats,
) -> Any:
    """Count rows until the output is full; returns the row to go on with and the edges written."""
    start, stop = bounds
    used = 0
    width = len(scratch.support)
    most = min(rules.top_k, width) if rules.top_k else width
    for row in range(start, stop):
        if len(out_src) - used < most:
            return row, used
        if rules.max_gap_ms:
            touched = _add_events(src, dst, row, rules.max_gap_ms, scratch)
        else:
            touched = _add_pairs(src, dst, row, scratch)
        found = _candidates(row, touched, formula, rules, scratch)
        cut = rules.top_k > 0 and found > rules.top_k
        if cut:
            found = _strongest(row, found, rules, scratch)
        if cut or touched >= 0:
            _sort_by_source(found, scratch)
        out_src[used : used + found] = scratch.candidate[:found]
        out_weight[used : used + found] = scratch.weight[:found]
        _gather(scratch.support, scratch.candidate[:found], out_support[used:])
        _clear(touched, scratch)
        degree[row - start] = found
        used += found
    return stop, used


@compiled
def _add_pairs(src: Lists, dst: Lists, row: int, scratch: Scratch) -> int:
    """Add the items of every owner of ``row``; returns the distinct sources listed, or -1 for a dense row."""
    # Arrays as locals: a field read in a hot loop would count a reference each time.
    indptr, index, weight = src.indptr, src.ids, src.weight
    support, mass, listed = scratch.support, scratch.mass, scratch.touched
    owners = dst.ids[dst.indptr[row] : dst.indptr[row + 1]]
    pairs = 0
    for owner in owners:
        pairs += indptr[owner + 1] - indptr[owner]
    sparse, touched = pairs < len(support), 0  # a list of what is touched is shorter than a scan
    for owner in owners:
        if sparse:
            for pair in range(indptr[owner], indptr[owner + 1]):
                column = index[pair]
                listed[touched] = column
                touched += support[column] == 0
                support[column] += 1
        else:
            for pair in range(indptr[owner], indptr[owner + 1]):
                support[index[pair]] += 1
    if len(weight):
        own = dst.weight[dst.indptr[row] : dst.indptr[row + 1]]
        for at in range(len(owners)):
            for pair in range(indptr[owners[at]], indptr[owners[at] + 1]):
                mass[index[pair]] += np.float64(own[at]) * weight[pair]
    return touched if sparse else -1


@compiled
def _add_events(src: Lists, dst: Lists, row: int, max_gap_ms: int, scratch: Scratch) -> int:
    """``_add_pairs`` for pairs of events at most ``max_gap_ms`` apart, each owner counted once per source."""
    indptr, index, weight, time = src.indptr, src.ids, src.weight, src.time
    support, mass, listed, stamps = scratch.support, scratch.mass, scratch.touched, scratch.stamp
    owners, own, own_time = dst.ids, dst.weight, dst.time
    touched, owner, stamp = 0, -1, -1
    for at in range(dst.indptr[row], dst.indptr[row + 1]):
        if owners[at] != owner:
            owner, stamp = owners[at], at
        first, last = indptr[owner], indptr[owner + 1]
        begin = first + np.searchsorted(time[first:last], own_time[at] - max_gap_ms)
        for event in range(begin, last):
            if time[event] > own_time[at] + max_gap_ms:
                break
            column = index[event]
            if stamps[column] == stamp:
                continue
            stamps[column] = stamp
            if support[column] == 0:
                listed[touched] = column
                touched += 1
            support[column] += 1
            if len(weight):
                mass[column] += np.float64(own[at]) * weight[event]
    return touched


@compiled
def _clear(touched: int, scratch: Scratch) -> None:
    support, mass = scratch.support, scratch.mass
    if touched < 0:
        support[:] = 0
        mass[:] = 0
        return
    for column in scratch.touched[:touched]:
        support[column] = 0
    if len(mass):
        for column in scratch.touched[:touched]:
            mass[column] = 0


@compiled
def _candidates(row: int, touched: int, formula: Formula, rules: Rules, scratch: Scratch) -> int:
    """The sources of ``row`` with enough support and a positive weight, in any order; returns how many."""
    support, candidate, least, found = scratch.support, scratch.candidate, rules.min_support, 0
    if rules.same_type:
        support[row] = 0
    if touched < 0:
        for column in range(len(support)):
            candidate[found] = column
            found += support[column] >= least
    else:
        for column in scratch.touched[:touched]:
            candidate[found] = column
            found += support[column] >= least
    _weigh(candidate[:found], row, formula, scratch)
    return _positive(found, scratch) if formula.shape == LOG_PRODUCT else found


@compiled
def _weigh(candidate: Ints, row: int, formula: Formula, scratch: Scratch) -> None:
    """Write the weight of each candidate. A loop a shape: the commonest one is a multiplication an edge."""
    support, mass, weights, factor, own = scratch.support, scratch.mass, scratch.weight, formula.src, formula.dst[row]
    shape, shrinkage, weighted = formula.shape, formula.shrinkage, len(mass) > 0
    if shape == PRODUCT and not weighted:
        for k in range(len(candidate)):
            weights[k] = support[candidate[k]] * (factor[candidate[k]] * own)
    else:
        for k in range(len(candidate)):
            column = candidate[k]
            shared = mass[column] if weighted else np.float64(support[column])
            if shape == RATIO:
                weights[k] = shared / (factor[column] + own - shared)
            else:
                weight = shared * (factor[column] * own)
                weights[k] = np.log(weight) if shape == LOG_PRODUCT else weight
    if shrinkage > 0:
        for k in range(len(candidate)):
            users = support[candidate[k]]
            weights[k] *= users / (users + shrinkage)


@compiled
def _positive(found: int, scratch: Scratch) -> int:
    candidate, weights, kept = scratch.candidate, scratch.weight, 0
    for k in range(found):
        candidate[kept], weights[kept] = candidate[k], weights[k]
        kept += weights[k] > 0
    return kept


@compiled
def _strongest(row: int, found: int, rules: Rules, scratch: Scratch) -> int:
    """Keep the ``top_k`` heaviest candidates, in any order; returns how many.

    A buffer of a few times ``top_k`` fills with what beats the last cut, and is cut to the ``top_k`` best when full.
    """
    candidate, bits, seed = scratch.candidate, scratch.weight.view(np.uint32), rules.seed
    keys, kept, top_k = scratch.keys, scratch.kept, rules.top_k
    used, least = 0, np.uint64(0)
    for k in range(found):
        if bits[k] < least >> np.uint64(32):
            continue
        key = _key(bits[k], row, candidate[k], seed)
        if key > least:
            keys[used], kept[used] = key, candidate[k]
            used += 1
        if used == len(keys):
            _put_largest_first(keys, kept, top_k)
            used, least = top_k, keys[:top_k].min()
    if used > top_k:
        _put_largest_first(keys[:used], kept[:used], top_k)
    for k in range(top_k):
        candidate[k], bits[k] = kept[k], np.uint32(keys[k] >> np.uint64(32))
    return top_k


@compiled
def _key(bits: int, row: int, column: int, seed: int) -> Any:
    """One integer that orders by weight, then by the seeded tie: the bits of a positive float order like it."""
    x = ((np.uint64(row) << np.uint64(32)) | np.uint64(column)) + (np.uint64(seed) + np.uint64(1)) * GOLDEN
    x = (x ^ (x >> np.uint64(30))) * MIX_1
    x = (x ^ (x >> np.uint64(27))) * MIX_2
    return (np.uint64(bits) << np.uint64(32)) | ((x ^ (x >> np.uint64(31))) >> np.uint64(32))


@compiled
def _put_largest_first(keys: npt.NDArray[np.uint64], items: Ints, count: int) -> None:
    """Move the ``count`` largest keys, with their items, to the front (Hoare's selection)."""
    low, high = 0, len(keys) - 1
    while low < high:
        pivot = keys[(low + high) // 2]
        left, right = low, high
        while left <= right:
            while keys[left] > pivot:
                left += 1
            while keys[right] < pivot:
                right -= 1
            if left <= right:
                keys[left], keys[right] = keys[right], keys[left]
                items[left], items[right] = items[right], items[left]
                left += 1
                right -= 1
        if count - 1 <= right:
            high = right
        elif count - 1 >= left:
            low = left
        else:
            return


@compiled
def _sort_by_source(found: int, scratch: Scratch) -> None:
    packed = scratch.packed[:found]
    candidate, bits = scratch.candidate, scratch.weight.view(np.uint32)
    for k in range(found):
        packed[k] = (np.uint64(candidate[k]) << np.uint64(32)) | np.uint64(bits[k])
    packed.sort()
    for k in range(found):
        candidate[k] = np.int32(packed[k] >> np.uint64(32))
        bits[k] = np.uint32(packed[k] & np.uint64(0xFFFFFFFF))


@compiled
def _gather(values: Ints, at: Ints, out: Ints) -> None:
    for k in range(len(at)):
        out[k] = values[at[k]]
