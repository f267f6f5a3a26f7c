"""Stage ``peers``: validation cut from train alone, winners per cell, and the same files after a kill."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import Result
from evaluation_world import CUTOFF, Row, random_rows, write_dataset

from graphkit.artefacts import Batch, Workspace
from graphkit.config import load_config
from graphkit.datasets.store import Dataset
from graphkit.errors import ConfigError, DataError
from graphkit.evaluation.groups import read_tasks
from graphkit.evaluation.peers import tune
from graphkit.evaluation.peers.registry import chosen_peers
from graphkit.evaluation.peers.trials import Score, Trials
from graphkit.evaluation.peers.tuned import left_out_peers, tuned_peers
from graphkit.evaluation.peers.winners import CELL, EVERYBODY, GROUP, NOBODY, choose
from graphkit.evaluation.validation import sampled, validation_parts, validation_tasks

SIZES = {"book": 15, "song": 20}
QUICK = ("peers.trials=2", "peers.lightgcn_epochs=3", "peers.hybrid_epochs=3")


def rows_with_validation() -> list[Row]:
    """``random_rows``, whose users also stream two more items a few days before the cut-off."""
    rng, rows = np.random.default_rng(5), random_rows(0, 24, SIZES)
    late = [Row(user, t, int(rng.integers(n)), days_before=5) for user in range(24) for t, n in SIZES.items()]
    return [row._replace(days_before=row.days_before + 20) if row.split == "train" else row for row in rows] + late


def tuned(root: Path, *sets: str, rows: list[Row] | None = None, timed: bool = True) -> Batch:
    if not (root / "dataset").is_dir():
        write_dataset(root, rows_with_validation() if rows is None else rows, SIZES, 24, timed=timed)
    return tune.tune_peers(Workspace(root), load_config("laboratory", [*QUICK, *sets]))


def read(batch: Batch) -> dict:
    found: dict = json.loads(batch.path("peers.json").read_text(encoding="utf-8"))
    return found


# --- validation ----------------------------------------------------------------------------------------------


def test_validation_is_the_last_horizon_of_train(tmp_path: Path) -> None:
    rows = [
        Row(0, "book", 0, days_before=60), Row(0, "book", 1, days_before=14.001), Row(0, "book", 2, days_before=14),
        Row(0, "book", 3, days_before=0.5), Row(0, "book", 4, "test", days_before=0),
        Row(1, "song", 0, days_before=20), Row(1, "book", 5, days_before=1),
        Row(2, "book", 0, days_before=1),
    ]  # fmt: skip
    dataset = write_dataset(tmp_path, rows, SIZES, 3)
    parts = validation_parts(dataset, 0)
    assert parts.cutoff == CUTOFF - timedelta(days=14)
    assert sorted(parts.train.filter(user=0).collect()["item"]) == [0, 1]
    assert sorted(parts.held_out.filter(user=0).collect()["item"]) == [2, 3]
    task = validation_tasks(dataset, 0)["book"]
    assert task.users.tolist() == [0, 1]
    assert task.warm.tolist() == [True, False]
    assert task.positives.of(0).tolist() == [2, 3]
    assert task.masked.of(0).tolist() == [0, 1]
    assert task.num_no_history == 1
    assert read_tasks(dataset)["book"].positives.of(0).tolist() == [4]


def test_a_short_log_keeps_two_thirds_for_training(tmp_path: Path) -> None:
    rows = [Row(0, "book", item, days_before=days) for item, days in enumerate((9, 6, 3.1, 2.9, 1))]
    assert validation_parts(write_dataset(tmp_path, rows, SIZES, 1), 0).cutoff == CUTOFF - timedelta(days=3)


@pytest.mark.parametrize("timed", [True, False])
def test_no_test_row_is_in_either_part(tmp_path: Path, timed: bool) -> None:
    rows = rows_with_validation()
    with_test = write_dataset(tmp_path / "with", rows, SIZES, 24, timed)
    without = write_dataset(tmp_path / "without", [row for row in rows if row.split == "train"], SIZES, 24, timed)
    for read_part in ("train", "held_out"):
        parts = (getattr(validation_parts(dataset, 3), read_part) for dataset in (with_test, without))
        first, second = (part.sort("user", "item_type", "item", "signal").collect() for part in parts)
        assert first["split"].unique().to_list() == ["train"]
        assert first.equals(second)
    parts = validation_parts(with_test, 3)
    assert parts.train.collect().height + parts.held_out.collect().height == sum(r.split == "train" for r in rows)


def test_without_time_validation_is_drawn_by_the_seed(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, rows_with_validation(), SIZES, 24, timed=False)
    first, again, other = (validation_parts(dataset, seed).held_out.collect() for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)
    tasks = validation_tasks(dataset, 1)
    assert all(len(task.members(group)) for task in tasks.values() for group in ("warm", "cold"))


def test_a_sample_holds_so_many_of_each_group(tmp_path: Path) -> None:
    task = validation_tasks(write_dataset(tmp_path, rows_with_validation(), SIZES, 24), 0)["book"]
    assert (len(task.members("warm")), len(task.members("cold"))) == (13, 6)  # 5 streamed that book before
    few = sampled(task, 5, seed=0)
    assert (len(few.members("warm")), len(few.members("cold"))) == (5, 5)
    assert set(few.users) <= set(task.users)
    assert (np.diff(few.users) > 0).all()
    assert all(few.warm[i] == task.warm[task.users.tolist().index(user)] for i, user in enumerate(few.users))
    assert sampled(task, 5, seed=1).users.tolist() != few.users.tolist()


# --- winners -------------------------------------------------------------------------------------------------


def scores_of(*rows: tuple[dict, str, str, float, int]) -> list[Score]:
    return [Score(*row) for row in rows]


def test_a_small_cell_takes_the_winner_of_more_users() -> None:
    a, b = {"l2": 1}, {"l2": 2}
    scores = scores_of(
        (a, "book", "warm", 0.9, 10), (a, "song", "warm", 0.2, 90),
        (a, "book", "cold", 0.1, 3), (a, "song", "cold", 0.5, 9),
        (b, "book", "warm", 0.1, 10), (b, "song", "warm", 0.3, 90),
        (b, "book", "cold", 0.7, 3), (b, "song", "cold", 0.5, 9),
    )  # fmt: skip
    won = choose(scores, ("book", "song"), a)
    assert won["song"]["warm"] == {"setting": b, "ndcg": 0.3, "num_users": 90, "chosen_on": CELL}
    pooled = (0.1 * 10 + 0.3 * 90) / 100
    assert won["book"]["warm"] == {"setting": b, "ndcg": pytest.approx(pooled), "num_users": 100, "chosen_on": GROUP}
    assert won["book"]["cold"]["chosen_on"] == EVERYBODY
    assert won["book"]["cold"]["num_users"] == 112
    assert won["book"]["cold"]["setting"] == b


def test_equal_settings_go_to_the_first_and_nobody_to_the_default() -> None:
    a, b = {"l2": 1}, {"l2": 2}
    scores = scores_of((a, "book", "warm", 0.5, 60), (b, "book", "warm", 0.5, 60))
    assert choose(scores, ("book",), b)["book"]["warm"]["setting"] == a
    expected = {"setting": b, "ndcg": None, "num_users": 0, "chosen_on": NOBODY}
    assert choose([], ("book",), b)["book"]["cold"] == expected


def test_a_score_still_rising_at_the_last_epoch_is_unconverged() -> None:
    def won(*ndcgs: float) -> dict:
        rows = [({"l2": 1, "epochs": 2 * i}, "book", "warm", ndcg, 60) for i, ndcg in enumerate(ndcgs, start=1)]
        rows += [({"l2": 9, "epochs": 6}, "book", "warm", 0.0, 60)]
        found: dict = choose(scores_of(*rows), ("book",), {})["book"]["warm"]
        return found

    assert won(0.1, 0.2, 0.3)["unconverged"] is True
    assert "unconverged" not in won(0.1, 0.3, 0.2)
    assert won(0.1, 0.3, 0.2)["setting"] == {"l2": 1, "epochs": 4}
    assert "unconverged" not in won(0.3, 0.3, 0.3)


# --- the stage -----------------------------------------------------------------------------------------------


def test_files_of_the_batch(tmp_path: Path) -> None:
    batch = tuned(tmp_path)
    body, trials = read(batch), pl.read_parquet(batch.path("trials.parquet"))
    assert body["validation"]["from"] == (CUTOFF - timedelta(days=14)).isoformat()
    assert body["validation"]["users"]["book"] == {"warm": 13, "cold": 6}
    assert body["budget"] == {"trials": 2, "epochs": {"LightGCN": 3, "Hybrid MF": 3}}
    assert {*body["winners"], *body["left_out"]} == {
        "Popularity", "Recent popularity", "Item-kNN", "EASE", "ALS", "NMF", "LightGCN", "Hybrid MF",
    }  # fmt: skip
    for peer, winners in body["winners"].items():
        for target in SIZES:
            for group in ("warm", "cold"):
                setting = json.dumps(winners[target][group]["setting"])
                assert trials.filter(peer=peer, setting=setting).height > 0
    tried = dict(trials.unique(["peer", "setting"]).group_by("peer").len().rows())
    assert (tried["Popularity"], tried["EASE"], tried["LightGCN"]) == (1, 2, 6)  # three stops of two trainings
    assert set(batch.manifest.metrics["seconds"]) == set(body["winners"])


def test_a_second_call_returns_the_finished_batch(tmp_path: Path) -> None:
    assert tuned(tmp_path).manifest.created_at == tuned(tmp_path).manifest.created_at


def test_a_kill_loses_no_finished_trial_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unbroken = tuned(tmp_path / "unbroken")
    fits, scores_of_trial = [0], Trials._scores

    def dies_at_the_sixth(self: Trials, *given: object) -> Iterator[Score]:
        fits[0] += 1
        if fits[0] == 6:
            raise KeyboardInterrupt
        return scores_of_trial(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Trials, "_scores", dies_at_the_sixth)
    with pytest.raises(KeyboardInterrupt):
        tuned(tmp_path / "killed")
    partial = next((tmp_path / "killed" / "peers").glob(".partial-*"))
    (partial / "checkpoint" / "Item-kNN-0.json").write_text("{", encoding="utf-8")  # a damaged one is made again
    resumed = tuned(tmp_path / "killed")
    # Five were kept, one of them damaged: the sixth call died, and all but four are fitted after it.
    assert fits[0] == 6 + num_fits(unbroken) - 4
    assert resumed.content_hash == unbroken.content_hash


def num_fits(batch: Batch) -> int:
    """Fits: the distinct settings without their epochs."""
    rows = pl.read_parquet(batch.path("trials.parquet")).unique(["peer", "setting"])
    fits = {(p, json.dumps({**json.loads(s), "epochs": 0})) for p, s in rows.select("peer", "setting").rows()}
    return len(fits)


def test_what_cannot_be_fitted_is_left_out_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphkit.evaluation.peers.hybrid_mf.has_lightfm", lambda: False)
    batch = tuned(tmp_path, "peers.memory=1KiB", timed=False)
    left_out = left_out_peers(batch)
    assert set(left_out) == {"Recent popularity", "EASE", "Hybrid MF"}
    assert "no timestamps" in left_out["Recent popularity"]
    assert "peers.memory" in left_out["EASE"]
    assert "pip install" in left_out["Hybrid MF"]
    names = [peer.name for peer in tuned_peers(Dataset.current(Workspace(tmp_path)), batch, 0, 1)]
    assert names == ["Popularity", "Item-kNN", "ALS", "NMF", "LightGCN"]


def test_tuned_peers_are_fitted_on_all_of_train(tmp_path: Path) -> None:
    batch = tuned(tmp_path, "peers.models=[popularity,item-knn,lightgcn]")
    dataset = Dataset.current(Workspace(tmp_path))
    popular, knn, lightgcn = tuned_peers(dataset, batch, 0, 1)
    rows = dataset.interactions("train", ("stream",)).filter(item_type="book").unique(["user", "item"]).collect()
    counts = popular.fit(popular.fits[0][0]).scores(np.array([0]), "book")[0]
    assert counts.tolist() == np.bincount(rows["item"].to_numpy(), minlength=SIZES["book"]).tolist()
    for peer in (popular, knn, lightgcn):
        cells = [cell for _, served in peer.fits for cell in served]
        assert sorted(cells) == [(t, g) for t in ("book", "song") for g in ("cold", "warm")]
        for setting, _ in peer.fits:
            assert peer.fit(setting).scores(np.array([0, 1]), "song").shape == (2, SIZES["song"])
    assert "nothing to tune" in popular.what
    assert "best of 2 settings by validation NDCG@10" in knn.what
    assert "shrinkage" in knn.what
    assert "book/warm" in knn.what
    assert "up to 3 epochs" in lightgcn.what


def test_validation_without_earlier_rows_is_refused(tmp_path: Path) -> None:
    rows = [Row(0, "book", 0, signal="preview", days_before=50), Row(0, "book", 1, days_before=1)]
    with pytest.raises(DataError, match="validation leaves no train rows"):
        tuned(tmp_path, rows=rows)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("peers.trials=0", "peers.trials"),
        ("peers.models=[eese]", "did you mean 'ease'?"),
        ("peers.models=[]", "peers.models"),
        ("peers.memory=much", "peers.memory"),
    ],
)
def test_bad_settings_are_the_users_error(
    tmp_path: Path, graphkit: Callable[..., Result], override: str, said: str
) -> None:
    write_dataset(tmp_path, rows_with_validation(), SIZES, 24)
    done = graphkit("tune-peers", "-w", tmp_path, "--set", override)
    assert done.exit_code == 2
    assert said in done.output


def test_the_memory_option_names_its_own_setting() -> None:
    settings = load_config("default", ["peers.memory=lots"]).peers
    with pytest.raises(ConfigError, match=r"--set peers.memory=4GiB"):
        chosen_peers(settings)


def test_time_is_no_part_of_the_files(tmp_path: Path) -> None:
    first, second = tuned(tmp_path / "one"), tuned(tmp_path / "two")
    assert first.content_hash == second.content_hash
    assert datetime.fromisoformat(read(first)["validation"]["until"]) == CUTOFF
