"""Users of whom less is known: the user tower's inputs without some of their features, as serving meets them.

The one code path for it: what training replays and what a bundle is held against are taken out the same way.
"""

from __future__ import annotations

from itertools import combinations
from typing import Final, NamedTuple

from graphkit.histories import ONBOARDING, Pool, is_weak
from graphkit.user_features import UNKNOWN, FeatureSpec, UserInputs

AS_IS: Final = "as is"
WEAK_SIGNALS: Final = "weak signals"
CHOICES: Final = "onboarding choices"
DEMOGRAPHICS: Final = "demographics"


class Pattern(NamedTuple):
    """Which features are missing: of row ``i`` those in ``missing[i % len(missing)]``."""

    name: str
    missing: tuple[frozenset[str], ...]

    def of(self, inputs: UserInputs, spec: FeatureSpec) -> UserInputs:
        """``inputs`` as they are for users of whom this is missing; a history that is missing is an empty one."""
        width, pooled, categorical = sum(spec.pool_widths), inputs.pooled.copy(), inputs.categorical.copy()
        vectors = inputs.vectors.copy()
        for turn, gone in enumerate(self.missing):
            rows = slice(turn, None, len(self.missing))
            for place, pool in enumerate(spec.pools):
                if gone & _features_of(pool):
                    pooled[rows, place * width : (place + 1) * width] = 0
            start = 0
            for name, one in spec.vectors.items():
                if _vector(name) in gone:
                    vectors[rows, start : start + one.dim] = 0
                start += one.dim
            if DEMOGRAPHICS in gone:
                categorical[rows] = UNKNOWN
        return inputs._replace(pooled=pooled, categorical=categorical, vectors=vectors)


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
    """What may be missing: each item type's history under all signals, the weak signals, what was chosen on
    registering, the categorical features, and each user vector."""
    of_pools = dict.fromkeys(name for pool in spec.pools for name in sorted(_features_of(pool)))
    histories = [name for name in of_pools if name not in (WEAK_SIGNALS, CHOICES)]
    others = [name for name in (WEAK_SIGNALS, CHOICES) if name in of_pools]
    demographics = [DEMOGRAPHICS] if spec.categorical else []
    return (*histories, *others, *demographics, *map(_vector, spec.vectors))


def _features_of(pool: Pool) -> set[str]:
    """The features that the pool is a part of: it is empty where one of them is missing."""
    if pool.group == ONBOARDING:
        return {CHOICES}
    history = f"{pool.item_type} history"
    return {history, WEAK_SIGNALS} if is_weak(pool.group) else {history}


def _vector(name: str) -> str:
    return f"{name} vector"
