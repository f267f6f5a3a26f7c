"""The towers' weight in the blend: which counts, how it is chosen, and the hold-out it is chosen on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import Result
from tiny_towers import TARGETS, TYPES, make_dataset

from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.blend.holdout import hold_out, holdout_of
from graphkit.blend.popular import popular_part, popular_parts
from graphkit.blend.tune import POPULARITY_WEIGHTS, WEIGHTS, best_weights
from graphkit.blend.weights import BLEND_FILE, blend_weights
from graphkit.config import load_config
from graphkit.config.sections import BlendSection
from graphkit.datasets.store import Dataset
from graphkit.errors import ConfigError
from graphkit.evaluation.validation import validation_parts

CONFIG = load_config("default")


def tuned_batch(workspace: Workspace, weights: dict[str, float], popularity: dict[str, float]) -> Batch:
    with workspace.begin(StageSpec("blend", {}, 0)) as work:
        about = {"towers_weight": weights, "popularity_weight": popularity}
        work.path(BLEND_FILE).write_text(json.dumps(about))
        return work.commit()


def test_what_is_set_counts_before_what_was_tuned_and_that_before_the_rest(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    dataset = make_dataset(workspace, 0)
    plain, one, two = BlendSection(), TARGETS[0], TARGETS[1]
    untold = blend_weights(plain, dataset, None)
    assert untold.towers == {f"{t}/{g}": 1.0 for t in TARGETS for g in ("warm", "cold")}
    assert untold.popularity == dict.fromkeys(untold.towers, 0.0)
    tuned = tuned_batch(
        workspace, {f"{one}/warm": 4.0, f"{two}/cold": 8.0, "gone/warm": 3.0}, {f"{two}/warm": 0.5, "gone/cold": 1.0}
    )
    found = blend_weights(plain, dataset, tuned)
    assert found.towers == {f"{one}/warm": 4.0, f"{one}/cold": 1.0, f"{two}/warm": 1.0, f"{two}/cold": 8.0}
    assert found.popularity == {f"{one}/warm": 0.0, f"{one}/cold": 0.0, f"{two}/warm": 0.5, f"{two}/cold": 0.0}
    given = BlendSection(towers_weight={"warm": 2.0, f"{one}/warm": 16.0}, popularity_weight={"cold": 3.0})
    found = blend_weights(given, dataset, tuned)
    assert found.towers == {f"{one}/warm": 16.0, f"{one}/cold": 1.0, f"{two}/warm": 2.0, f"{two}/cold": 8.0}
    assert found.popularity == {f"{one}/warm": 0.0, f"{one}/cold": 3.0, f"{two}/warm": 0.5, f"{two}/cold": 3.0}
    for name in ("towers_weight", "popularity_weight"):
        with pytest.raises(ConfigError, match=f"blend.{name}: no target type 'audiobok'"):
            blend_weights(BlendSection.model_validate({name: {"audiobok/warm": 2.0}}), dataset, None)
        with pytest.raises(ValueError, match="neither warm nor cold"):
            BlendSection.model_validate({name: {"hot": 1.0}})


def test_a_lucky_figure_does_not_decide() -> None:
    places = np.indices((len(WEIGHTS), len(POPULARITY_WEIGHTS)))
    hill = 0.1 - 0.001 * np.abs(places[0] - 7) - 0.001 * np.abs(places[1] - 3)
    assert best_weights(hill) == (WEIGHTS[7], POPULARITY_WEIGHTS[3])
    lucky = hill.copy()
    lucky[1, 6] = 0.103  # above the hill's top by itself, not with its neighbours
    assert best_weights(lucky) == (WEIGHTS[7], POPULARITY_WEIGHTS[3])
    assert best_weights(np.full_like(hill, 0.2)) == (1.0, 0.0)
    assert best_weights(places.sum(axis=0).astype(float)) == (WEIGHTS[-1], POPULARITY_WEIGHTS[-1])


def test_a_thousand_items_stand_out_at_most_by_their_users_of_the_last_days(tmp_path: Path) -> None:
    users = np.array([0, 3, 3, 8, 1])
    part = popular_part(users, most=3)
    above = np.log1p([0, 3, 3, 8, 0]) - np.array([0, np.log(2), np.log(2), np.log(2), 0])
    np.testing.assert_allclose(part, above / above.std(), rtol=1e-6)
    assert popular_part(users, most=1).nonzero()[0].tolist() == [3]
    assert popular_part(np.full(9, 4), most=3).tolist() == [0] * 9  # none stands out
    assert popular_part(np.zeros(0, np.int32)).tolist() == []
    dataset = make_dataset(Workspace(tmp_path), 0)
    near, far = popular_parts(dataset, 1), popular_parts(dataset, 10_000)
    assert set(near) == set(TARGETS)
    assert any(not np.array_equal(near[name], far[name]) for name in TARGETS)


@pytest.mark.parametrize("timed", [True, False])
def test_the_hold_out_is_cut_from_train_and_knows_no_test_row(tmp_path: Path, timed: bool) -> None:
    workspace = Workspace(tmp_path)
    dataset = make_dataset(workspace, 0, timed)
    held = Dataset.open(hold_out(dataset, holdout_of(workspace), CONFIG))
    parts = validation_parts(dataset, CONFIG.run.seed)
    pair = ["user", "item_type", "item", "signal", "timestamp"]
    for split, wanted in (("train", parts.train), ("test", parts.held_out)):
        rows = held.interactions(split).select(pair).sort(pair).collect()
        assert rows.equals(wanted.select(pair).sort(pair).collect())
        assert rows.height
    test = dataset.interactions("test").select(pair[:3]).unique().collect()
    assert held.interactions().select(pair[:3]).collect().join(test, on=pair[:3]).height == 0
    assert held.meta.num_items == TYPES
    assert held.items().equals(dataset.items())
    if timed:
        assert held.meta.cutoff == parts.cutoff != dataset.meta.cutoff
        assert held.meta.cutoff is not None
        assert held.meta.label_start is not None
        assert held.meta.label_start < held.meta.cutoff
        assert held.interactions("train").select(pl.col("timestamp").max()).collect().item() < held.meta.cutoff
    else:
        assert held.meta.cutoff is held.meta.label_start is None


@pytest.mark.slow
@pytest.mark.xdist_group("chain")
def test_a_tuned_blend_is_evaluated_and_served(own_chain: Path, graphkit: Callable[..., Result]) -> None:
    workspace = Workspace(own_chain)
    missing = graphkit("tune-blend", "-w", own_chain.parent / "nothing")
    assert missing.exit_code == 2
    before = {stage: workspace.peek(stage).id for stage in ("dataset", "graph", "hgnn", "towers", "edges")}
    found = graphkit("tune-blend", "-w", own_chain)
    assert found.exit_code == 0, found.output
    about = json.loads(workspace.current("blend").path(BLEND_FILE).read_text())
    targets = Dataset.current(workspace).meta.targets
    assert set(about["towers_weight"]) <= {f"{t}/{g}" for t in targets for g in ("warm", "cold")}
    for cell, weight in about["towers_weight"].items():
        grid = np.array(about["ndcg"][cell])
        assert (weight, about["popularity_weight"][cell]) == best_weights(grid)
        assert len(np.unique(grid[:, 0])) > 1  # either weight makes a difference
        assert len(np.unique(grid[0])) > 1
    assert {stage: workspace.peek(stage).id for stage in before} == before
    again = graphkit("tune-blend", "-w", own_chain)
    assert "up to date" in again.output
    other = graphkit("tune-blend", "-w", own_chain, "--set", "blend.popularity_days=7", "--dry-run")
    assert "to do" in other.output

    assert graphkit("export", "-w", own_chain).exit_code == 0
    bundle = json.loads(workspace.current("bundle").path("bundle.json").read_text())
    weights = blend_weights(BlendSection(), Dataset.current(workspace), workspace.current("blend"))
    assert (bundle["towers_weight"], bundle["popularity_weight"]) == (weights.towers, weights.popularity)
    assert graphkit("evaluate", "-w", own_chain, "--set", "evaluation.bootstrap=50").exit_code == 0
    assert workspace.current("evaluation").manifest.upstream["blend"] == workspace.peek("blend").id
