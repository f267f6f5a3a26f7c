"""From lists to the table: users' files, means over seeds, spread, coverage, pairs of models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from test_evaluation_ranking import Table as Scores
from test_evaluation_ranking import history

from graphkit.evaluation.comparisons import holm
from graphkit.evaluation.entries import Entry, Part
from graphkit.evaluation.groups import TargetTask
from graphkit.evaluation.metrics import USER_METRICS, user_metrics
from graphkit.evaluation.rank_models import rank_models, read_users
from graphkit.evaluation.ranking import Ranker
from graphkit.evaluation.segments import segment_items
from graphkit.evaluation.tables import Table, cells

USERS, ITEMS = 30, 60


def ranker(item_type: str, seed: int) -> Ranker:
    rng = np.random.default_rng(seed)
    positives = [sorted(rng.permutation(ITEMS)[: rng.integers(1, 5)].tolist()) for _ in range(USERS)]
    masked = [sorted(set(rng.permutation(ITEMS)[:6].tolist()) - set(items)) for items in positives]
    users, warm = np.arange(USERS), np.arange(USERS) % 3 > 0
    task = TargetTask(item_type, ITEMS, users, warm, history(positives), history(masked), 0)
    listeners = np.bincount(task.masked.items, minlength=ITEMS)
    return Ranker(task, segment_items(listeners, listeners > 0, 0), USER_METRICS, USERS, 0)


def model(seed: int) -> Part:
    table = Scores(np.random.default_rng(seed).standard_normal((USERS, ITEMS)))
    return Part(lambda: table)


RANKERS = {"book": ranker("book", 0), "song": ranker("song", 1)}


def rows_of(entries: list[Entry], folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    totals = rank_models(entries, RANKERS, folder)
    tasks = {name: r.task for name, r in RANKERS.items()}
    table = Table(totals, USER_METRICS, resamples=200, seed=0)
    results, comparisons = table.rows(list(cells(tasks, ("warm", "cold", "all"))))
    return pl.DataFrame(results, infer_schema_length=None), pl.DataFrame(comparisons, infer_schema_length=None)


def test_seeds_are_averaged_user_by_user_and_their_spread_is_told(tmp_path: Path) -> None:
    both = Entry("both", "", ((model(1),), (model(2),)), trained=True)
    alone = [Entry(f"seed {n}", "", ((model(n),),)) for n in (1, 2)]
    results, _ = rows_of([*alone, both], tmp_path)
    key = {"target_type": "all", "group": "cold", "segment": "all"}
    for metric in (*USER_METRICS, "Coverage@10"):
        row = results.filter(model="both", metric=metric, **key).to_dicts()[0]
        one, two = (results.filter(model=f"seed {n}", metric=metric, **key)["value"].item() for n in (1, 2))
        assert row["value"] == pytest.approx((one + two) / 2, abs=1e-6)
        assert row["spread"] == pytest.approx(abs(one - two) / np.sqrt(2), abs=1e-6)
        assert row["num_seeds"] == 2
    users = read_users(tmp_path / "02-both.parquet", ["NDCG@10"])
    parts = [read_users(tmp_path / f"0{n}-seed-{n + 1}.parquet", ["NDCG@10"]) for n in (0, 1)]
    mean = np.mean([part["NDCG@10"].to_numpy() for part in parts], axis=0)
    np.testing.assert_allclose(users["NDCG@10"].to_numpy(), mean, rtol=1e-5)


def test_a_peer_may_be_of_parts_for_cells(tmp_path: Path) -> None:
    warm, cold = ({(t, group) for t in RANKERS} for group in ("warm", "cold"))
    parts = tuple(Part(model(n).load, frozenset(of)) for n, of in ((1, warm), (2, cold)))
    results, _ = rows_of(
        [Entry("parts", "", (parts,)), *(Entry(f"seed {n}", "", ((model(n),),)) for n in (1, 2))], tmp_path
    )
    for group, name in (("warm", "seed 1"), ("cold", "seed 2")):
        key = {"target_type": "song", "group": group, "segment": "all"}
        mine = results.filter(model="parts", **key).drop("model", "low", "high")
        theirs = results.filter(model=name, **key).drop("model", "low", "high")
        assert mine.equals(theirs)


def test_every_pair_is_compared_once_and_corrected_together(tmp_path: Path) -> None:
    entries = [Entry(f"seed {n}", "", ((model(n),),)) for n in (1, 2, 3)]
    results, comparisons = rows_of(entries, tmp_path)
    cell = comparisons.filter(target_type="book", group="warm", metric="HR@10")
    assert cell.select("model", "peer").rows() == [("seed 2", "seed 1"), ("seed 3", "seed 1"), ("seed 3", "seed 2")]
    np.testing.assert_allclose(holm(cell["p_value"].to_numpy()[:, None])[:, 0], cell["p_holm"].to_numpy())
    value = dict(results.filter(target_type="book", group="warm", metric="HR@10", segment="all").select(
        "model", "value").iter_rows())  # fmt: skip
    assert cell["value"].to_list() == pytest.approx(
        [value["seed 2"] - value["seed 1"], value["seed 3"] - value["seed 1"], value["seed 3"] - value["seed 2"]]
    )
    assert (cell["low"] <= cell["value"]).all()


def test_pooled_coverage_is_over_both_catalogues_and_a_segment_over_its_items(tmp_path: Path) -> None:
    results, _ = rows_of([Entry("one", "", ((model(1),),))], tmp_path)
    found = results.filter(metric="Coverage@10", group="warm")

    def value(target: str, segment: str = "all") -> float:
        return float(found.filter(target_type=target, segment=segment)["value"].item())

    assert value("all") == pytest.approx((value("book") + value("song")) / 2)
    shown = RANKERS["book"].rank(model(1).load()).exposure["warm", 10] > 0
    tail = RANKERS["book"].segments.of("tail")
    assert value("book", "tail") == pytest.approx(shown[tail].mean())
    assert results.filter(metric="Gini@10", target_type="all").is_empty()


def test_figures_equal_a_plain_count(tmp_path: Path) -> None:
    results, _ = rows_of([Entry("one", "", ((model(5),),))], tmp_path)
    scores = model(5).load().scores(np.arange(USERS), "book")
    task = RANKERS["book"].task
    expected = []
    for user in np.flatnonzero(task.warm):
        left = [i for i in range(ITEMS) if i not in task.masked.of(user)]
        left.sort(key=lambda i, user=user: -scores[user, i])
        hits = np.isin(left[:100], task.positives.of(user))[None]
        expected.append(user_metrics(hits, np.array([len(task.positives.of(user))]))[0])
    for column, metric in enumerate(USER_METRICS):
        row = results.filter(target_type="book", group="warm", segment="all", metric=metric)
        assert row["value"].item() == pytest.approx(np.mean([user[column] for user in expected]), abs=1e-6)
        assert row["num_users"].item() == len(expected)
