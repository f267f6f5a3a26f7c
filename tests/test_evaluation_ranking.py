"""Full-catalogue ranking: metrics by segment and group, exposure, blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from graphkit.errors import GraphkitError
from graphkit.evaluation import ranking
from graphkit.evaluation.groups import TargetTask
from graphkit.evaluation.metrics import USER_METRICS, user_metrics
from graphkit.evaluation.ranking import Ranked, Ranker
from graphkit.evaluation.segments import SEGMENTS, Segments, segment_items
from graphkit.evaluation.top_items import tie_order
from graphkit.histories import History


@dataclass(frozen=True)
class Table:
    """A model whose scores are a table [num_users, num_items]."""

    table: np.ndarray
    name: str = "table"

    def scores(self, users: np.ndarray, item_type: str) -> np.ndarray:
        return self.table[users].astype(np.float32)


def history(lists: list[list[int]]) -> History:
    indptr = np.cumsum([0, *map(len, lists)])
    return History(indptr.astype(np.int64), np.array([i for items in lists for i in items], np.int32))


def task(positives: list[list[int]], masked: list[list[int]], num_items: int, warm: list[bool]) -> TargetTask:
    users = np.arange(len(positives))
    return TargetTask("book", num_items, users, np.array(warm), history(positives), history(masked), 0)


def segments(of_task: TargetTask) -> Segments:
    listeners = np.bincount(of_task.masked.items, minlength=of_task.num_items)
    return segment_items(listeners, np.ones(of_task.num_items, bool), 0)


def rank(table: np.ndarray, of_task: TargetTask, seed: int, threads: int = 1) -> Ranked:
    ranker = Ranker(of_task, segments(of_task), USER_METRICS, len(of_task.users), seed, threads)
    return ranker.rank(Table(table))


def test_metrics_and_exposure_of_each_group() -> None:
    table = np.array([[4, 3, 2, 1, 0], [0, 1, 2, 3, 4], [4, 3, 2, 1, 0]])
    found = rank(table, task([[1], [0], [4]], [[0], [4], []], 5, [True, False, True]), seed=0)
    # User 0 may not see item 0, so item 1 is first; user 1's item 0 is fourth of four; user 2's is fifth.
    assert found.values[:, 0, 3].tolist() == pytest.approx([1, 1 / 4, 1 / 5])
    assert found.exposure["warm", 10].tolist() == [1, 2, 2, 2, 2]
    assert found.exposure["cold", 100].tolist() == [1, 1, 1, 1, 0]
    assert found.num_shown("cold", 100, np.array([True, False, False, False, True])) == 1


def test_a_segment_counts_its_own_test_items_at_their_place_in_the_whole_list() -> None:
    of_task = task([[0, 3], [2]], [[], []], 4, [True, True])
    members = np.zeros((len(SEGMENTS), 4), bool)
    members[0] = True
    members[SEGMENTS.index("tail"), [3]] = True
    ranker = Ranker(of_task, Segments(members, np.zeros(4, np.int64)), USER_METRICS, 2, 0)
    found = ranker.rank(Table(np.array([[4, 3, 2, 1], [4, 3, 2, 1]])))
    tail = found.values[:, SEGMENTS.index("tail")]
    assert tail[0, 1] == 1  # its one tail item is among the first 20
    assert tail[0, 3] == pytest.approx(1 / 4)  # at the fourth place of the list of all items
    assert np.isnan(tail[1]).all()
    assert np.isnan(found.values[:, SEGMENTS.index("new")]).all()


def test_users_may_be_ranked_part_by_part() -> None:
    rng = np.random.default_rng(2)
    of_task = task([[i] for i in range(6)], [[] for _ in range(6)], 9, [True, False] * 3)
    model = Table(rng.standard_normal((6, 9)))
    ranker = Ranker(of_task, segments(of_task), USER_METRICS, 6, 0)
    whole, parts = ranker.rank(model), ranker.empty()
    for group in ("cold", "warm"):
        ranker.rank(model, of_task.members(group), parts)
    np.testing.assert_array_equal(whole.values, parts.values)
    for key, count in whole.exposure.items():
        np.testing.assert_array_equal(count, parts.exposure[key])


def test_blocks_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    table = rng.integers(0, 5, (40, 150))
    positives = [rng.permutation(150)[:3].tolist() for _ in range(40)]
    masked = [sorted(set(rng.permutation(150)[:9].tolist()) - set(items)) for items in positives]
    of_task = task(positives, masked, 150, [i % 2 == 0 for i in range(40)])
    whole = rank(table, of_task, 3)
    monkeypatch.setattr(ranking, "BLOCK_SCORES", 450)
    for threads in (1, 3):
        pieces = rank(table, of_task, 3, threads)
        np.testing.assert_array_equal(whole.values, pieces.values)
        for key, count in whole.exposure.items():
            np.testing.assert_array_equal(count, pieces.exposure[key])


def test_equals_a_loop_over_users() -> None:
    rng = np.random.default_rng(1)
    num_items, ties = 130, tie_order(130, 5)
    table = rng.integers(0, 40, (25, num_items))
    positives = [sorted(rng.permutation(num_items)[: rng.integers(1, 30)].tolist()) for _ in range(25)]
    masked = [sorted(set(rng.permutation(num_items)[:20].tolist()) - set(items)) for items in positives]
    of_task = task(positives, masked, num_items, [True] * 25)
    found, parts = rank(table, of_task, 5), segments(of_task)
    for number, members in enumerate(parts.members):
        for user in range(25):
            wanted = {item for item in positives[user] if members[item]}
            left = [i for i in range(num_items) if i not in masked[user]]
            left.sort(key=lambda i, user=user: (-table[user, i], -ties[i]))
            if not wanted:
                assert np.isnan(found.values[user, number]).all()
                continue
            hits = np.array([[item in wanted for item in left[:100]]])
            expected = user_metrics(hits, np.array([len(wanted)]))[0]
            np.testing.assert_allclose(found.values[user, number, :-1], expected, rtol=1e-6)


def test_novelty_is_the_mean_surprise_of_ten_items() -> None:
    # Everyone's list is the same eleven items; three of seven users know item 0, nobody the others.
    of_task = task([[0], [5], [10], [1], [2], [3], [4]], [[]] * 4 + [[0], [0], [0]], 11, [True] * 7)
    table = np.tile(np.arange(11)[::-1], (7, 1))
    found = rank(table, of_task, 0)
    assert found.values[0, 0, -1] == pytest.approx((-np.log2(4 / 8) + 9 * -np.log2(1 / 8)) / 10)
    assert found.values[4, 0, -1] == pytest.approx(3)  # item 0 is masked


def test_a_score_that_is_no_number_is_refused() -> None:
    table = np.ones((2, 4))
    table[1, 2] = np.nan
    with pytest.raises(GraphkitError, match=r"table gives a score that is not a number[\s\S]*user 1, book 2"):
        rank(table, task([[0], [0]], [[], []], 4, [True, True]), 0)
