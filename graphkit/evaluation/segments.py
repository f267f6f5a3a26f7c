"""Parts of a catalogue by popularity: tiers 1 to 5 (paper 5.2.2), the long tail, and items new since the cut-off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from graphkit.ties import tie_order

WHOLE: Final = "all"
TAIL: Final = "tail"
NEW: Final = "new"
TIERS: Final = tuple(f"tier {number}" for number in range(1, 6))
#: Paper 5.2.2: "Tiers 3, 4, and 5, representing less popular content, are considered the long tail".
TAIL_TIERS: Final = TIERS[2:]
SEGMENTS: Final = (WHOLE, *TIERS, TAIL, NEW)

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Segments:
    """Which items of one type belong to each of ``SEGMENTS``: ``members`` bool [len(SEGMENTS), num_items].

    Tiers hold a fifth each of the items that anybody met in train, by how many users met them through strong
    signals, tier 1 the most popular; equals are split in a seeded random order. The paper does not say where its
    tiers end. New items have no train row of any signal.
    """

    members: npt.NDArray[np.bool_]
    num_listeners: Counts  # [num_items]

    def of(self, segment: str) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = self.members[SEGMENTS.index(segment)]
        return found

    def summary(self) -> list[dict[str, Any]]:
        """Per segment its items, and their share of the (user, item) pairs of train."""
        total = max(int(self.num_listeners.sum()), 1)
        return [
            {
                "segment": name,
                "items": int(of_it.sum()),
                "train_share": round(float(self.num_listeners[of_it].sum() / total), 4),
            }
            for name, of_it in zip(SEGMENTS, self.members, strict=True)
        ]


def segment_items(num_listeners: Counts, known: npt.NDArray[np.bool_], seed: int) -> Segments:
    """The segments of a catalogue; ``known`` bool [num_items] says which items have any train row."""
    order = np.lexsort((tie_order(np.arange(len(known)), seed), -num_listeners, ~known))  # known, popular first
    tier = np.full(len(known), -1)
    count = int(known.sum())
    tier[order[:count]] = np.arange(count) * len(TIERS) // max(count, 1)
    tiers = [tier == number for number in range(len(TIERS))]
    tail = np.any(tiers[-len(TAIL_TIERS) :], axis=0)
    return Segments(np.stack([np.ones_like(known), *tiers, tail, ~known]), num_listeners)
