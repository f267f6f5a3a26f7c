"""Paths through a graph of nine items, drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest

from graphkit.serving.paths import Adjacency, Node, Path

#: book -> podcast -> book, and a pair of books: (item, neighbour, weight), kept at the first one's end.
EDGES = {
    ("book", "book"): [(0, 1, 0.5), (1, 0, 0.5), (4, 0, 0.4)],
    ("book", "podcast"): [(0, 0, 0.8), (0, 1, 0.3), (2, 0, 0.1), (2, 1, 0.9), (3, 2, 0.7)],
    ("podcast", "book"): [(0, 0, 0.8), (1, 2, 0.9), (1, 0, 0.3), (2, 3, 0.7)],
}
NUM_ITEMS = {"book": 5, "podcast": 3, "song": 1}


def adjacency(edges: dict[tuple[str, str], list[tuple[int, int, float]]]) -> Adjacency:
    tensors: dict[str, np.ndarray] = {}
    for (own, other), rows in edges.items():
        item, neighbour, weight = (np.array(column) for column in zip(*rows, strict=True))
        indptr = np.searchsorted(item, np.arange(NUM_ITEMS[own] + 1))
        parts = {"indptr": indptr, "indices": neighbour.astype(np.int32), "weights": weight.astype(np.float32)}
        tensors |= {f"{own}/{other}/{part}": values for part, values in parts.items()}
    return Adjacency(tensors, tuple(NUM_ITEMS))


def path(own: dict[str, list[int]], book: int) -> Path | None:
    (found,) = adjacency(EDGES).paths({t: np.array(i) for t, i in own.items()}, "book", np.array([book]))
    return found


def test_one_edge_is_named_before_two() -> None:
    found = path({"book": [0], "podcast": []}, 1)
    assert found == (Node("book", 0), None, pytest.approx(0.5))


def test_an_edge_that_only_the_other_end_keeps_counts() -> None:
    """Book 4 is among the neighbours of none, and has book 0 among its own."""
    assert path({"book": [0]}, 4) == (Node("book", 0), None, pytest.approx(0.4))
    assert path({"book": [4]}, 0) == (Node("book", 4), None, pytest.approx(0.4))


def test_of_two_shared_neighbours_the_heavier_product_wins() -> None:
    """Book 0 to book 2: by podcast 0 it is .8 x .1, by podcast 1 .3 x .9."""
    assert path({"book": [0]}, 2) == (Node("book", 0), Node("podcast", 1), pytest.approx(0.27))


def test_of_two_of_the_user_s_items_the_heavier_path_wins() -> None:
    assert path({"book": [1, 0, 3]}, 2) == (Node("book", 0), Node("podcast", 1), pytest.approx(0.27))
    assert path({"book": [0], "podcast": [1]}, 2) == (Node("podcast", 1), None, pytest.approx(0.9))


def test_where_no_path_leads_there_is_none() -> None:
    assert path({"book": [0]}, 3) is None
    assert path({"book": [], "podcast": []}, 2) is None
    assert path({"song": [0]}, 2) is None


def test_an_item_of_the_user_s_is_not_reached_from_itself() -> None:
    """Book 3 and podcast 2 know each other alone: there and back is no reason."""
    assert path({"book": [3]}, 3) is None


def test_paths_equal_a_search_over_every_path() -> None:
    """Random graphs, one list of neighbours an item; the best by all pairs of edges."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        edges = {
            (a, b): [
                (item, int(other), float(rng.random()))
                for item in range(NUM_ITEMS[a])
                for other in rng.permutation(NUM_ITEMS[b])[: rng.integers(0, 3)]
                if (a, item) != (b, other)
            ]
            for a in NUM_ITEMS
            for b in NUM_ITEMS
        }
        edges = {ends: rows for ends, rows in edges.items() if rows}
        kept = {(Node(a, i), Node(b, j)): w for (a, b), rows in edges.items() for i, j, w in rows}
        mine = [Node("book", 0), Node("podcast", 1), Node("song", 0)]
        own = {t: np.array([n.item for n in mine if n.item_type == t], np.int64) for t in NUM_ITEMS}
        for item in range(1, NUM_ITEMS["book"]):
            target = Node("book", item)
            straight = [kept.get(ends, 0) for start in mine for ends in ((start, target), (target, start))]
            around = [
                kept.get((start, middle), 0) * kept.get((target, middle), 0)
                for start in mine
                for middle in {other for _, other in kept}
            ]
            (found,) = adjacency(edges).paths(own, "book", np.array([item]))
            best = max(straight) or max(around, default=0)
            assert (found.weight if found else 0) == pytest.approx(best, rel=1e-5)
            assert found is None or (found.through is None) == (max(straight) > 0)
