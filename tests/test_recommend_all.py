"""Lists for every user at once: those that each user would get alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import Result
from tiny_towers import NUM_USERS, TARGETS, exported_workspace

from graphkit import Bundle
from graphkit.artefacts import Workspace
from graphkit.errors import InputError
from graphkit.serving import recommend_all

#: For some users alone.
POPULAR = 'blend.popularity_weight={"warm": 0.5}'


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return exported_workspace(tmp_path_factory.mktemp("all"), newcomers=(2, 17, 30), sets=[POPULAR])


@pytest.fixture(scope="module")
def bundle(workspace: Workspace) -> Bundle:
    return Bundle.open(workspace.current("bundle").folder)


def test_every_user_gets_the_list_that_recommend_gives(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recommend_all, "_BLOCK_SCORES", 280)  # seven users of 40 items
    written = bundle.recommend_all(tmp_path / "lists.parquet", k=12, threads=2)
    lists = pl.read_parquet(tmp_path / "lists.parquet")
    assert written == {target: (lists.filter(pl.col("item_type") == target).height, "") for target in TARGETS}
    assert lists.columns == ["user_id", "item_type", "rank", "item_id", "score", "source"]
    by_user = lists.partition_by("user_id", "item_type", as_dict=True)
    assert len(by_user) == NUM_USERS * len(TARGETS)
    for (user_id, item_type), mine in by_user.items():
        alone = bundle.recommend(str(user_id), str(item_type), k=12)
        assert mine["rank"].to_list() == [row["rank"] for row in alone.rows]
        assert mine["item_id"].to_list() == [row["item_id"] for row in alone.rows]
        assert mine["source"].unique().to_list() == [alone.source]
        np.testing.assert_allclose(mine["score"], [row["score"] for row in alone.rows], atol=2e-3)
    assert set(lists["source"]) == {"popularity", "towers", "towers and edges"}


def test_the_file_is_whole_or_not_there(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        assert path.exists()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recommend_all, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        bundle.recommend_all(tmp_path / "lists.parquet")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"did you mean 'podcast'"):
        bundle.recommend_all(tmp_path / "x.parquet", ["podcat"])
    with pytest.raises(InputError, match="at least 1"):
        bundle.recommend_all(tmp_path / "x.parquet", k=0)
    with pytest.raises(InputError, match="folder"):
        bundle.recommend_all(tmp_path / "nowhere" / "x.parquet")


def test_the_command_writes_one_type(workspace: Workspace, tmp_path: Path, graphkit: Callable[..., Result]) -> None:
    out = tmp_path / "lists.parquet"
    done = graphkit("recommend-all", "--out", out, "--type", "podcast", "-k", 3, "-w", workspace.root, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == [{"item_type": "podcast", "rows": 3 * NUM_USERS, "note": ""}]
    assert pl.read_parquet(out)["item_type"].unique().to_list() == ["podcast"]
