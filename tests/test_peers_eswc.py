"""The simple peers on a real data pack, against figures that others measured on its split."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphkit.artefacts import Workspace
from graphkit.config import load_config
from graphkit.datasets.ingest import import_dataset
from graphkit.datasets.store import Dataset
from graphkit.evaluation.groups import final_parts, read_tasks
from graphkit.evaluation.peers.als import AlsPeer
from graphkit.evaluation.peers.item_knn import ItemKnnPeer
from graphkit.evaluation.peers.popularity import popularity
from graphkit.evaluation.peers.train_data import read_train
from graphkit.evaluation.validation import validation_ndcg

#: NDCG@10 of popularity, item-kNN and implicit ALS. The tenth and eleventh book are equally popular, so book/warm
#: turns on the tie: .0562 or .0577 by one order for all, the published .0574 by another for each user.
FIGURES = {
    ("book", "warm"): (0.0574, 0.0830, 0.0637), ("book", "cold"): (0.0885, 0.1042, 0.0993),
    ("movie", "warm"): (0.0689, 0.1087, 0.1128), ("movie", "cold"): (0.1810, 0.2306, 0.1638),
    ("music", "warm"): (0.0606, 0.1309, 0.1332), ("music", "cold"): (0.1700, 0.2191, 0.1133),
}  # fmt: skip


@pytest.mark.slow
def test_popularity_item_knn_and_als_on_eswc2015_are_what_others_measured(data_packs: Path, tmp_path: Path) -> None:
    if not (data_packs / "eswc2015").is_dir():
        pytest.skip(f"no eswc2015 at {data_packs}")
    batch = import_dataset(Workspace(tmp_path), "eswc2015", data_packs / "eswc2015", load_config("default"))
    dataset = Dataset.open(batch)
    tasks, train = read_tasks(dataset), read_train(dataset, final_parts(dataset))
    knn = ItemKnnPeer().fit(train, {"shrinkage": 10, "neighbours": 1000}, 0, 2)
    als = AlsPeer().fit(train, {"factors": 32, "l2": 300, "alpha": 20, "iterations": 15}, 0, 2)
    values = [
        {t: validation_ndcg(m, task, 0) for t, task in tasks.items()} for m in (popularity(train.likes), knn, als)
    ]
    for (target, group), figures in FIGURES.items():
        rows = tasks[target].members(group)
        popular, neighbours, factors = (found[target][rows].mean() for found in values)
        assert popular == pytest.approx(figures[0], abs=0.0013 if target == "book" else 0.0005)
        assert neighbours > 0.95 * figures[1]
        assert factors > 0.95 * figures[2]
