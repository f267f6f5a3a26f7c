"""Each verdict where it must be: holds, does not hold, undecided, planted, not measured, untested."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from evaluation_world import random_rows, write_dataset
from results_world import ABLATIONS, CONFIG, LEARNED, NUM_USERS, OURS, PEERS, noisy, write_evaluation

from graphkit.artefacts import StageSpec, Workspace
from graphkit.claims.measure import measure_claims
from graphkit.claims.tables import claim_rows, tally
from graphkit.claims.verdict import Judged
from graphkit.errors import ArtefactError

SIZES = {"book": 15, "song": 40}


def make(root: Path, planted: bool = False) -> Workspace:
    """Few strong pairs of books, more of songs."""
    rows = random_rows(0, 24, {"book": 15}, 2) + random_rows(1, 24, {"song": 40}, 9)
    write_dataset(root, rows, SIZES, 24, planted=planted)
    return Workspace(root)


def found(workspace: Workspace) -> dict[str, Judged]:
    """The first outcome of each claim."""
    return {row.claim.id: row for row in reversed(measure_claims(workspace, CONFIG))}


def verdicts(workspace: Workspace, *ids: str) -> list[str]:
    rows = found(workspace)
    return [rows[name].outcome.verdict for name in ids]


def as_in_the_paper() -> dict[str, Any]:
    """Users' figures that put every model where the paper's Table 2 has its HR@10."""
    means = {"Popularity": 0.15, "LLM-KNN": 0.164, "HGNN": 0.258, "HGNN-w-users": 0.238, "2T": 0.231, OURS: 0.353}
    return {model: noisy(mean, seed) for seed, (model, mean) in enumerate(means.items())}


def test_claims_that_hold(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    write_evaluation(workspace, as_in_the_paper())
    rows = found(workspace)
    for name in (
        "table-2-best-hr",
        "table-2-over-2t-hr",
        "table-2-hgnn-over-llm-knn-hr",
        "table-2-2t-hr",
        "long-tail-hr",
    ):
        assert rows[name].outcome.verdict == "holds", name
    best = rows["table-2-best-hr"].outcome
    assert best.value == pytest.approx(0.353 / 0.258, rel=0.03)
    assert best.low is not None and best.high is not None  # noqa: PT018
    assert 1 < best.low < best.value < best.high
    assert ", HGNN 0.2" in best.values
    assert best.on == "book, warm users"


def test_a_claim_that_the_data_contradict_does_not_hold(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    write_evaluation(workspace, as_in_the_paper() | {OURS: noisy(0.2, 9), "LLM-KNN": noisy(0.3, 1)})
    assert (
        verdicts(workspace, "table-2-best-hr", "table-2-over-2t-hr", "table-2-hgnn-over-llm-knn-hr")
        == ["does not hold"] * 3
    )
    # It is beaten by one of its peers, whatever the others do.
    assert ", LLM-KNN 0." in found(workspace)["table-2-best-hr"].outcome.values


def test_no_clear_difference_is_undecided(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    coins = np.random.default_rng(3).permutation(np.arange(NUM_USERS) % 2).astype(float)
    write_evaluation(workspace, as_in_the_paper() | {OURS: coins, "2T": coins[::-1]})
    assert verdicts(workspace, "table-2-over-2t-hr") == ["undecided"]


def test_a_difference_within_the_spread_over_seeds_is_undecided(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    write_evaluation(workspace, as_in_the_paper(), spread=0.2, seeds=3)
    outcome = found(workspace)["table-2-over-2t-hr"].outcome
    assert outcome.verdict == "undecided"
    assert "within two standard errors over training seeds" in outcome.note
    assert "3 training seeds" in outcome.note


def test_generated_data_never_show_that_a_planted_claim_holds(tmp_path: Path) -> None:
    workspace = make(tmp_path, planted=True)
    write_evaluation(workspace, as_in_the_paper())
    rows = measure_claims(workspace, CONFIG)
    planted = [row for row in rows if row.claim.planted and row.outcome.value is not None]
    assert len(planted) > 10
    assert {row.outcome.verdict for row in planted} == {"planted"}
    over_2t = found(workspace)["table-2-over-2t-hr"].outcome
    assert over_2t.value == pytest.approx(0.353 / 0.231, rel=0.03)
    assert "on the claimed side" in over_2t.note
    assert verdicts(workspace, "table-2-hgnn-mrr") == ["does not hold"]  # not planted: judged


def test_what_no_dataset_can_test_is_untested(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    outcome = found(workspace)["table-5-start-rate"].outcome
    assert (outcome.verdict, outcome.value) == ("untested", None)
    assert "A/B test" in outcome.note


def test_what_is_missing_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    assert "run `graphkit evaluate`" in found(workspace)["table-2-over-2t-hr"].outcome.note
    figures = {model: values for model, values in as_in_the_paper().items() if model not in ("HGNN", "2T")}
    write_evaluation(workspace, figures, left_out={"2T": "there are no towers"})
    rows = found(workspace)
    for name in ("table-1-a-hr", "table-2-over-2t-hr", "table-2-best-hr", "sampler-time"):
        assert rows[name].outcome.verdict == "not measured"
    assert "`graphkit ablate" in rows["table-1-a-hr"].outcome.note
    assert rows["table-2-over-2t-hr"].outcome.note == "2T was left out: there are no towers"
    assert rows["table-2-best-hr"].outcome.note.startswith("HGNN is not in the evaluation")
    assert "`graphkit ablate" in rows["sampler-time"].outcome.note


def test_an_evaluation_of_another_dataset_counts_for_nothing(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    write_evaluation(workspace, as_in_the_paper())
    write_dataset(tmp_path, random_rows(7, 24, SIZES), SIZES, 24, name="another")
    outcome = found(workspace)["table-2-over-2t-hr"].outcome
    assert (outcome.verdict, outcome.note) == (
        "not measured",
        "the evaluation is of another dataset: run `graphkit evaluate` again",
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ((0.4, 0.01, 3), (0.2, 0.01, 3), "holds"),
        ((0.2, 0.01, 3), (0.4, 0.01, 3), "does not hold"),
        ((0.4, 0.3, 3), (0.2, 0.3, 3), "undecided"),
        ((0.4, None, 1), (0.2, None, 1), "undecided"),
        ((0.4, 0.01, 2), (0.2, 0.01, 2), "undecided"),
    ],
)
def test_coverage_is_decided_by_the_spread_over_three_seeds(
    tmp_path: Path, ours: Any, theirs: Any, verdict: str
) -> None:
    workspace = make(tmp_path)
    write_evaluation(workspace, as_in_the_paper(), {OURS: ours, "2T": theirs})
    outcome = found(workspace)["table-2-over-2t-coverage"].outcome
    assert outcome.verdict == verdict
    assert outcome.value == pytest.approx(ours[0] - theirs[0])
    assert (outcome.low is None) == (ours[2] < 3)


def test_two_errors_of_a_coverage_by_hand(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    write_evaluation(workspace, as_in_the_paper(), {OURS: (0.4, 0.03, 3), "2T": (0.2, 0.04, 4)})
    outcome = found(workspace)["table-2-over-2t-coverage"].outcome
    error = 2 * (0.03**2 / 3 + 0.04**2 / 4) ** 0.5
    assert (outcome.low, outcome.high) == pytest.approx((0.2 - error, 0.2 + error))


@pytest.mark.parametrize(
    ("ratio", "spread", "verdict"),
    [(1.01, 0.001, "holds"), (1.2, 0.001, "does not hold"), (0.8, 0.001, "does not hold"), (1.04, 0.1, "undecided")],
)
def test_on_par_is_tested_as_equivalence(tmp_path: Path, ratio: float, spread: float, verdict: str) -> None:
    workspace = make(tmp_path)
    write_evaluation(workspace, {"2T": noisy(0.2, 1, spread), OURS: noisy(0.2 * ratio, 2, spread)})
    outcome = found(workspace)["table-4-mrr"].outcome
    assert outcome.on == "song, all users"
    assert outcome.verdict == verdict


def test_no_expense_is_tested_as_not_below_by_a_margin(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    figures = as_in_the_paper()
    for ours, verdict in ((0.199, "holds"), (0.25, "holds"), (0.15, "does not hold")):
        write_evaluation(
            workspace, figures | {"NMF": noisy(ours, 1)}, {OURS: (ours, 0.001, 3), "2T": (0.2, 0.001, 3)}
        )
        assert verdicts(workspace, "long-tail-coverage") == [verdict]
        (workspace.root / "evaluation" / "rotation.json").unlink()


def test_a_peer_that_never_hits_gives_a_difference_instead_of_a_ratio(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    write_evaluation(workspace, as_in_the_paper() | {"2T": np.zeros(NUM_USERS)})
    outcome = found(workspace)["table-2-over-2t-hr"].outcome
    assert (outcome.unit, outcome.verdict) == ("difference", "holds")
    assert verdicts(workspace, "table-4-mrr") == ["undecided"]  # 5 % of nothing is no margin


def test_the_recent_popularity_is_taken_where_there_is_one(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    figures = as_in_the_paper() | {"2T": noisy(0.1, 4)}
    write_evaluation(workspace, figures | {"Popularity, 90 days": noisy(0.3, 8)})
    assert "Popularity, 90 days 0." in found(workspace)["table-3-popularity-hr"].outcome.values


def test_observations_are_parts_of_the_description(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    rows = found(workspace)
    titles = rows["observation-1-titles"].outcome
    assert titles.on.startswith("book: interactions of the top 20 % of titles")
    assert titles.verdict in ("holds", "does not hold", "undecided")
    assert rows["observation-4-follow"].outcome.verdict == "not measured"


def test_without_a_target_type_nothing_is_measured(tmp_path: Path) -> None:
    write_dataset(tmp_path, random_rows(0, 24, SIZES), SIZES, 24, targets=())
    judged = measure_claims(Workspace(tmp_path), CONFIG)
    assert {row.outcome.verdict for row in judged} == {"not measured", "untested"}


def write_hgnn(main: Workspace, root: Path, seed: int, sampler: str, mrr: list[float], edges: int) -> None:
    """A training of ``edges`` links an epoch at 100 links a second, from the dataset of ``main``."""
    run, hgnn = CONFIG.run.model_copy(update={"seed": seed}), CONFIG.hgnn.model_copy(update={"sampler": sampler})
    config = CONFIG.model_copy(update={"run": run, "hgnn": hgnn})
    with Workspace(root).begin(StageSpec.of("hgnn", config, [main.current("dataset")])) as work:
        epochs = [{"epoch": i, "val_mrr": m, "edges": {"a": edges - 1, "b": 1}} for i, m in enumerate(mrr, 1)]
        work.path("training.json").write_text(json.dumps({"epochs": epochs, "best_epoch": 1}))
        work.metrics = {"edges_per_second": 100}
        work.commit()


def train_both(main: Workspace, seed: int, balanced: list[float], unbalanced: list[float]) -> None:
    """The balanced run of seed 0 is the workspace itself; an epoch of it draws a fifth of the unbalanced links."""
    own = main.root if seed == 0 else main.root / "variants" / "2t-hgnn" / f"seed-{seed}"
    write_hgnn(main, own, seed, "balanced", balanced, edges=200)
    write_hgnn(main, main.root / "variants" / "a-unbalanced" / f"seed-{seed}", seed, "unbalanced", unbalanced, 1000)


def test_time_saved_to_the_same_validation_mrr(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    # Both reach 0.3: the balanced run after 3 epochs of 2 s, the unbalanced one after 2 of 10 s.
    train_both(workspace, 0, [0.1, 0.2, 0.3], [0.2, 0.35])
    one = found(workspace)["sampler-time"].outcome
    assert (one.verdict, one.value) == ("undecided", pytest.approx(1 - 6 / 20))
    assert "one training seed" in one.note
    train_both(workspace, 1, [0.1, 0.25], [0.2, 0.25])  # 4 s against 20 s
    two = found(workspace)["sampler-time"].outcome
    assert two.value == pytest.approx((0.7 + 0.8) / 2)
    assert (two.low, two.high) == pytest.approx((0.65, 0.85))
    assert two.verdict == "holds"


def test_time_lost_does_not_hold(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    for seed in (0, 1):
        train_both(workspace, seed, [0.1] * 10 + [0.3], [0.3])
    assert verdicts(workspace, "sampler-time") == ["does not hold"]


def test_trainings_of_other_data_are_not_compared(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    train_both(workspace, 0, [0.3], [0.3])
    other = make(tmp_path / "other")
    dataset = other.current("dataset")
    (tmp_path / "hgnn" / "rotation.json").unlink()
    with workspace.begin(StageSpec.of("hgnn", CONFIG, [dataset], inputs={"data": "other"})) as work:
        work.path("training.json").write_text('{"epochs": []}')
        work.snapshot_id = "another"
        work.commit()
    assert verdicts(workspace, "sampler-time") == ["not measured"]


def test_trainings_that_differ_by_more_than_the_sampler_are_not_compared(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    train_both(workspace, 0, [0.3], [0.3])
    assert verdicts(workspace, "sampler-time") == ["undecided"]
    slower = CONFIG.model_copy(update={"hgnn": CONFIG.hgnn.model_copy(update={"learning_rate": 0.1})})
    with workspace.begin(StageSpec.of("hgnn", slower, [workspace.current("dataset")])) as work:
        work.path("training.json").write_text('{"epochs": []}')
        work.commit()
    assert verdicts(workspace, "sampler-time") == ["not measured"]


def test_every_claim_has_a_row_and_a_verdict_that_is_counted(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    every = {m: noisy(0.2, i) for i, m in enumerate((*PEERS, *LEARNED, *ABLATIONS))}
    write_evaluation(workspace, every)
    judged = measure_claims(workspace, CONFIG)
    assert sum(tally(judged).values()) == len(judged)
    assert {row["verdict"] for row in claim_rows(judged)} <= set(tally(judged))
    metric = [row for row in judged if row.claim.measure.kind in ("metric", "gain")]
    assert all(row.outcome.value is not None for row in metric)


def test_the_command_prints_the_table_and_writes_nothing(tmp_path: Path, graphkit: Callable[..., Result]) -> None:
    workspace = make(tmp_path)
    write_evaluation(workspace, as_in_the_paper())
    before = sorted(tmp_path.rglob("*"))
    done = graphkit("claims", "-w", tmp_path, "--quiet")
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    assert "does not hold" in text
    assert "direction alone" in text
    as_json = json.loads(graphkit("claims", "-w", tmp_path, "--json", "--quiet").stdout)
    assert sorted(tmp_path.rglob("*")) == before
    assert sum(as_json["verdicts"].values()) == len(as_json["claims"])
    assert {row["dataset"] for row in as_json["claims"]} == {"small <world>"}


def test_a_workspace_without_a_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="no dataset yet"):
        measure_claims(Workspace(tmp_path), CONFIG)
