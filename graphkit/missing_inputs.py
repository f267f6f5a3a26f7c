"""Users of whom less is known: the user tower's inputs without some of their features, as serving meets them.

The one code path for it: what training replays and what a bundle is held against are taken out the same way.
"""

from __future__ import annotations

from itertools import combinations
from typing import Final, NamedTuple

from graphkit.user_features import UNKNOWN, WEAK, FeatureSpec, Pool, UserInputs

AS_IS: Final = "as is"
WEAK_SIGNALS: Final = "weak signals"
DEMOGRAPHICS: Final = "demographics"


class Pattern(NamedTuple):
    """Which features are missing: of row ``i`` those in ``missing[i % len(missing)]``."""

    name: str
    missing: tuple[frozenset[str], ...]

    def of(self, inputs: UserInputs, spec: FeatureSpec) -> UserInputs:
        """``inputs`` as they are for users of whom this is missing; a history that is missing is an empty one."""
        width, pooled, categorical = sum(spec.pool_widths), inputs.pooled.copy(), inputs.categorical.copy()
        for turn, gone in enumerate(self.missing):
            rows = slice(turn, None, len(self.missing))
            for place, pool in enumerate(spec.pools):
                if gone & {_history(pool), WEAK_SIGNALS if pool.group == WEAK else ""}:
                    pooled[rows, place * width : (place + 1) * width] = 0
            if DEMOGRAPHICS in gone:
                categorical[rows] = UNKNOWN
        return inputs._replace(pooled=pooled, categorical=categorical)


def missing_patterns(spec: FeatureSpec) -> tuple[Pattern, ...]:
    """Nothing missing; each feature of a tower's alone; all of them; and every combination, user by user in turn."""
    features = _features(spec)
    every = [frozenset(gone) for size in range(len(features) + 1) for gone in combinations(features, size)]
    return (
        Pattern(AS_IS, (frozenset(),)),
        *(Pattern(f"no {name}", (frozenset({name}),)) for name in features),
        Pattern("nothing known", (frozenset(features),)),
        Pattern("every combination in turn", tuple(every)),
    )


def _features(spec: FeatureSpec) -> tuple[str, ...]:
    """What may be missing: each item type's history under all signals, the weak signals, the categorical features."""
    found = dict.fromkeys(_history(pool) for pool in spec.pools)
    weak = [WEAK_SIGNALS] if any(pool.group == WEAK for pool in spec.pools) else []
    return (*found, *weak, *([DEMOGRAPHICS] if spec.categorical else []))


def _history(pool: Pool) -> str:
    return f"{pool.item_type} history"
