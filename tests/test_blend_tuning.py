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
from graphkit.blend.tune import WEIGHTS, best_weight
from graphkit.blend.weights import BLEND_FILE, towers_weight
from graphkit.config import load_config
from graphkit.config.sections import BlendSection
from graphkit.datasets.store import Dataset
from graphkit.errors import ConfigError
from graphkit.evaluation.validation import validation_parts

CONFIG = load_config("default")


def tuned_batch(workspace: Workspace, weights: dict[str, float]) -> Batch:
    with workspace.begin(StageSpec("blend", {}, 0)) as work:
        work.path(BLEND_FILE).write_text(json.dumps({"towers_weight": weights}))
        return work.commit()


def test_what_is_set_counts_before_what_was_tuned_and_that_before_one(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    dataset = make_dataset(workspace, 0)
    plain, one, two = BlendSection(), TARGETS[0], TARGETS[1]
    assert towers_weight(plain, dataset, None) == {f"{t}/{g}": 1.0 for t in TARGETS for g in ("warm", "cold")}
    tuned = tuned_batch(workspace, {f"{one}/warm": 4.0, f"{two}/cold": 8.0, "gone/warm": 3.0})
    assert towers_weight(plain, dataset, tuned) == {
        f"{one}/warm": 4.0, f"{one}/cold": 1.0, f"{two}/warm": 1.0, f"{two}/cold": 8.0,
    }  # fmt: skip
    given = BlendSection(towers_weight={"warm": 2.0, f"{one}/warm": 16.0})
    assert towers_weight(given, dataset, tuned) == {
        f"{one}/warm": 16.0, f"{one}/cold": 1.0, f"{two}/warm": 2.0, f"{two}/cold": 8.0,
    }  # fmt: skip
    with pytest.raises(ConfigError, match="no target type 'audiobok'"):
        towers_weight(BlendSection(towers_weight={"audiobok/warm": 2.0}), dataset, None)
    with pytest.raises(ValueError, match="neither warm nor cold"):
        BlendSection(towers_weight={"hot": 1.0})


def test_a_lucky_figure_does_not_decide() -> None:
    hill = [0.1 - 0.001 * abs(place - 7) for place in range(len(WEIGHTS))]
    assert best_weight(hill) == WEIGHTS[7]
    lucky = [*hill]
    lucky[1] = 0.102  # above the hill's top by itself, not with its neighbours
    assert best_weight(lucky) == WEIGHTS[7]
    assert best_weight([0.2] * len(WEIGHTS)) == 1.0
    assert best_weight([*np.linspace(0, 1, len(WEIGHTS))]) == WEIGHTS[-1]


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
        assert weight == best_weight(about["ndcg"][cell])
        assert len(set(about["ndcg"][cell])) > 1  # the weight makes a difference
    assert {stage: workspace.peek(stage).id for stage in before} == before
    again = graphkit("tune-blend", "-w", own_chain)
    assert "up to date" in again.output

    assert graphkit("export", "-w", own_chain).exit_code == 0
    bundle = json.loads(workspace.current("bundle").path("bundle.json").read_text())
    assert bundle["towers_weight"] == towers_weight(
        BlendSection(), Dataset.current(workspace), workspace.current("blend")
    )
    assert graphkit("evaluate", "-w", own_chain, "--set", "evaluation.bootstrap=50").exit_code == 0
    assert workspace.current("evaluation").manifest.upstream["blend"] == workspace.peek("blend").id
