"""Weak signals and the streams they announce: the planted odds of the paper's section 3, observation 4.

The unit is a pair of a user and a title that the user showed interest in, by at least one weak signal; the
outcome is that the user starts to stream it. The chances below are logistic in the three signals and were
solved so that each signal alone, against the pairs that lack it, has the paper's odds ratio: follow 2.18,
preview 1.18, intent_to_pay 1.13 (+118 %, +18 %, +13 %).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from graphkit.synthetic.draws import Bools, Ints, round_keeping_total
from graphkit.synthetic.sizes import AUDIOBOOK, PODCAST, TRACK

WEAK: Final = ("follow", "preview", "intent_to_pay")
#: The odds ratios the audiobook patterns below are solved for, in the order of ``WEAK``.
PLANTED_ODDS: Final = (2.18, 1.18, 1.13)


class Pattern(NamedTuple):
    """A combination of weak signals: its share of the pairs with any, and the chance that a stream follows."""

    signals: tuple[bool, bool, bool]  # in the order of WEAK
    share: float
    chance: float


_FOLLOW, _PREVIEW, _INTENT = (True, False, False), (False, True, False), (False, False, True)
PATTERNS: Final = {
    AUDIOBOOK: (
        Pattern(_FOLLOW, 0.16, 0.4465),
        Pattern(_PREVIEW, 0.32, 0.3387),
        Pattern(_INTENT, 0.17, 0.3037),
        Pattern((True, True, False), 0.09, 0.5807),
        Pattern((True, False, True), 0.05, 0.5412),
        Pattern((False, True, True), 0.13, 0.4282),
        Pattern((True, True, True), 0.08, 0.6694),
    ),
    PODCAST: (  # free to stream, so nobody pays
        Pattern(_FOLLOW, 0.50, 0.70),
        Pattern(_PREVIEW, 0.35, 0.45),
        Pattern((True, True, False), 0.15, 0.80),
    ),
    TRACK: (),
}
#: Share of the pairs of a type that begin with a weak signal; the others are streamed at once.
WEAK_SHARE: Final = {AUDIOBOOK: 0.6, PODCAST: 0.2, TRACK: 0.0}


def plant(rng: np.random.Generator, item_type: int, meets_ms: Ints) -> tuple[Bools, Bools]:
    """``(signals [n, 3], streamed [n])`` of pairs, given when each would be streamed [n].

    A pair without a signal is streamed. Drawn by quota: of the pairs with one pattern up to any moment,
    those streamed differ from their expected number by less than one, so that even a small world, and any
    train period of it, shows the planted odds.
    """
    patterns, num_pairs = PATTERNS[item_type], len(meets_ms)
    if not patterns or not num_pairs:
        return np.zeros((num_pairs, 3), np.bool_), np.ones(num_pairs, np.bool_)
    shares = np.array([1 - WEAK_SHARE[item_type], *(WEAK_SHARE[item_type] * p.share for p in patterns)])
    table = np.array([(False,) * 3, *(p.signals for p in patterns)])
    chance = np.array([1.0, *(p.chance for p in patterns)])
    kind: Ints = rng.permutation(np.repeat(np.arange(len(shares)), round_keeping_total(rng, shares * num_pairs)))
    order = np.lexsort((meets_ms, kind))
    streamed = np.empty(num_pairs, np.bool_)
    streamed[order] = round_keeping_total(rng, chance[kind[order]])
    return table[kind], streamed
