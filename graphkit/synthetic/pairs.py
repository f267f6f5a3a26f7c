"""Which user meets which item, and when: a taste, a favourite creator, or what everybody listens to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from graphkit.synthetic.draws import Bools, Floats, Ints, draw_column
from graphkit.synthetic.items import Items
from graphkit.synthetic.sizes import AUDIOBOOK, PODCAST, TRACK, WINDOW_MS
from graphkit.synthetic.users import Users

#: Items an average user of a type meets over the whole window.
_MEAN_ITEMS: Final = {AUDIOBOOK: 36.0, PODCAST: 45.0, TRACK: 80.0}
#: Why a pair comes about; the rest of the pairs follow the taste.
_CREATOR_SHARE, _POPULAR_SHARE = 0.15, 0.12
#: The chance that an item in a language that the user does not speak is taken all the same.
_FOREIGN: Final = {AUDIOBOOK: 0.05, PODCAST: 0.05, TRACK: 0.4}
_ROUNDS: Final = 6


@dataclass(frozen=True)
class Pairs:
    """Distinct pairs of a user (within the block) and an item of one type, by user, then drawing order."""

    user: Ints  # [n]
    item: Ints  # [n]
    meets_ms: Ints  # [n] when the user would start to stream it
    earliest_ms: Ints  # [n] before which a weak signal for it cannot be


def draw_pairs(rng: np.random.Generator, users: Users, items: Items) -> Pairs:
    """The pairs of a block of users with the items of a type."""
    t = items.item_type
    opens, leaves = users.opens_ms[t], users.leaves_ms
    user = np.repeat(np.arange(users.count), _how_many(rng, users, t))
    meets = opens[user] + (rng.random(len(user)) * (leaves - opens)[user]).astype(np.int64)
    item = _choose(rng, users, items, user, meets)
    _, first = np.unique(user * items.count + item, return_index=True)
    first.sort()
    user, item, meets = user[first], item[first], meets[first]
    # A pair never starts on its very first second, so that a signal can precede it.
    earliest = np.maximum(opens[user], items.release_ms[item])
    meets = np.minimum(np.maximum(meets, earliest + 60_000), WINDOW_MS - 1)
    return Pairs(user, item, meets, np.minimum(earliest, meets - 2_000))


def _how_many(rng: np.random.Generator, users: Users, item_type: int) -> Ints:
    """Items each user meets: in proportion to activity and to the time left, at least one an adopter."""
    open_share = (users.leaves_ms - users.opens_ms[item_type]) / WINDOW_MS
    mean = _MEAN_ITEMS[item_type] * users.activity[item_type] * open_share
    return np.where(users.adopts[item_type], np.maximum(rng.poisson(mean), 1), 0)


def _choose(rng: np.random.Generator, users: Users, items: Items, user: Ints, meets: Ints) -> Ints:
    """An item for each pair: out by then, and mostly in a language of the user."""
    t = items.item_type
    cell = users.cells[user, draw_column(rng, users.strength[t][user])]
    why = rng.random(len(user))
    loyal = items.creator[items.by_cell.draw(rng, users.cells)]  # [users, 5]: a favourite creator a cell
    creator = loyal[user, rng.integers(2, size=len(user))]
    item = np.empty(len(user), np.int64)
    todo = np.arange(len(user))
    for _ in range(_ROUNDS):
        item[todo] = _draw(rng, items, why[todo], cell[todo], creator[todo])
        todo = todo[~_accepted(rng, users, items, user[todo], item[todo], meets[todo])]
    late = items.release_ms[item] > meets
    item[late] = items.anchor[cell[late]]
    return item


def _draw(rng: np.random.Generator, items: Items, why: Floats, cell: Ints, creator: Ints) -> Ints:
    loyal, popular = why < _CREATOR_SHARE, why > 1 - _POPULAR_SHARE
    taste = ~(loyal | popular)
    item = np.empty(len(why), np.int64)
    item[taste] = items.by_cell.draw(rng, cell[taste])
    item[loyal] = items.by_creator.draw(rng, creator[loyal])
    item[popular] = items.by_popularity.draw(rng, np.zeros(popular.sum(), np.int64))
    return item


def _accepted(rng: np.random.Generator, users: Users, items: Items, user: Ints, item: Ints, meets: Ints) -> Bools:
    understood = users.speaks[user, items.language[item]] | (rng.random(len(user)) < _FOREIGN[items.item_type])
    return understood & (items.release_ms[item] <= meets)
