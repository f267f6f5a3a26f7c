"""Claims on user encoders: from the downstream laboratory, the scaling runs, and encoders in the towers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from evaluation_world import random_rows, write_dataset
from results_world import CONFIG, NUM_USERS, OURS, noisy, write_evaluation

from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.claims.claim import UsersMeasure, read_claims
from graphkit.claims.measure import measure_claims
from graphkit.claims.tables import outcome_text
from graphkit.claims.verdict import Outcome
from graphkit.config.downstream import TASKS
from graphkit.downstream import representations
from graphkit.downstream.files import MEAN
from graphkit.downstream.next_item import rank_metrics
from graphkit.power_law import fit_power_law
from towers.encoders.scaling.runs import FACTORS, NOTHING

SIZES = {"book": 15, "song": 40}
#: (model, peer): the difference with its ends.
Leads = dict[tuple[str, str], tuple[float, float, float]]


def make(root: Path, planted: bool = False) -> Workspace:
    rows = random_rows(0, 24, {"book": 15}, 2) + random_rows(1, 24, {"song": 40}, 9)
    write_dataset(root, rows, SIZES, 24, planted=planted)
    return Workspace(root)


def found(workspace: Workspace, name: str) -> Outcome:
    """The first outcome of a claim."""
    return next(row.outcome for row in measure_claims(workspace, CONFIG) if row.claim.id == name)


def write_laboratory(
    workspace: Workspace,
    tables: dict[tuple[str, str, str], Leads],
    left_out: dict[str, str] | None = None,
    intervals: bool = True,
) -> Batch:
    """A ``downstream`` batch; ``tables`` are by task, metric and group. Whoever is a peer first has 0.5."""
    rows, comparisons = [], []
    for (task, metric, group), leads in tables.items():
        place = {"task": task, "group": group, "metric": metric, "num_users": 50}
        values: dict[str, float] = {}
        for (model, peer), (value, low, high) in leads.items():
            values.setdefault(model, values.setdefault(peer, 0.5) + value)
            comparisons.append(place | {"model": model, "peer": peer, "value": value, "low": low, "high": high})
        ends = {"low": 0.0, "high": 1.0} if intervals else {"low": None, "high": None}
        rows += [place | {"model": model, "value": value} | ends for model, value in values.items()]
    with workspace.begin(StageSpec.of("downstream", CONFIG, [workspace.current("dataset")])) as work:
        body = {"tasks": {row["task"]: {"users": 50} for row in rows}, "left_out": left_out or {}, "results": rows}
        work.path("results.json").write_text(json.dumps(body))
        pl.DataFrame(comparisons if intervals else []).write_parquet(work.path("comparisons.parquet"))
        return work.commit()


def ahead(lead: float, error: float = 0.01) -> tuple[float, float, float]:
    return lead, lead - error, lead + error


@pytest.mark.parametrize(
    ("lead", "verdict"), [(0.03, "holds"), (-0.03, "does not hold"), (0.005, "undecided"), (-0.005, "undecided")]
)
def test_the_interval_of_the_two_rows_decides(tmp_path: Path, lead: float, verdict: str) -> None:
    workspace = make(tmp_path)
    write_laboratory(workspace, {("future-listening", "AUC", "all"): {("autoencoder", MEAN): ahead(lead)}})
    outcome = found(workspace, "users-future-average-auc")
    assert outcome.verdict == verdict
    assert (outcome.value, outcome.low, outcome.high) == pytest.approx((lead, lead - 0.01, lead + 0.01))
    assert outcome.on == "future-listening, AUC, all users"
    assert "50 users, one training of an encoder" in outcome.note
    assert outcome_text(outcome).endswith(f"autoencoder {0.5 + lead:.3f}, mean embeddings 0.500")


def test_two_rows_are_compared_with_each_other_whatever_they_are_to_the_mean(tmp_path: Path) -> None:
    """The wide intervals around the mean say nothing; a pair that is stored the other way round is turned."""
    workspace = make(tmp_path)
    leads = {(name, MEAN): ahead(0.0, 0.5) for name in ("clue", "simclr", "shopperbert")}
    leads |= {("simclr", "clue"): (-0.07, -0.08, -0.04), ("shopperbert", "clue"): (-0.01, -0.03, 0.02)}
    leads |= {("shopperbert", "simclr"): (0.06, 0.05, 0.09)}
    write_laboratory(workspace, {("next-item", "MRR, sampled", "all"): leads})
    outcome = found(workspace, "clue-simclr")
    assert (outcome.value, outcome.low, outcome.high) == pytest.approx((0.07, 0.04, 0.08))
    assert outcome.verdict == "holds"
    assert outcome.note == "50 users, one training of an encoder"
    assert found(workspace, "clue-shopperbert").verdict == "undecided"
    against = found(workspace, "clue-simclr-shopperbert")
    assert (against.verdict, against.value, against.low) == ("does not hold", -0.06, -0.09)
    missing = found(workspace, "clue-bst")
    assert (missing.verdict, missing.value) == ("not measured", None)
    assert "BST is not in the laboratory's table" in missing.note


def test_more_for_cold_users_than_for_heavy_ones(tmp_path: Path) -> None:
    """Leads of 0.05 and -0.01, whose halves of the intervals are 0.02 each and combine as 0.02 √2."""
    workspace = make(tmp_path)
    for cold, verdict in ((0.05, "holds"), (0.01, "undecided"), (-0.07, "does not hold")):
        tables = {
            ("next-item", "NDCG@10, sampled", "cold"): {("shopperbert", "BST"): ahead(cold, 0.02)},
            ("next-item", "NDCG@10, sampled", "heavy"): {("BST", "shopperbert"): ahead(0.01, 0.02)},
        }
        write_laboratory(workspace, tables)
        outcome = found(workspace, "shopperbert-cold-heavy")
        gain = cold + 0.01
        error = 0.02 * 2**0.5
        assert (outcome.value, outcome.low, outcome.high) == pytest.approx((gain, gain - error, gain + error))
        assert outcome.verdict == verdict
        assert outcome.on == "next-item, NDCG@10, sampled, cold users, against heavy ones"
        shutil.rmtree(tmp_path / "downstream")


def test_what_the_laboratory_lacks_is_said(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    assert (
        found(workspace, "clue-bst").note == "there is no evaluation of user vectors: run `graphkit evaluate-users`"
    )
    table = {("cluster-creators", "nDCG@50", "all"): {("NMF", MEAN): ahead(0.1)}}
    write_laboratory(workspace, table, {"next-item": "there are no timestamps"})
    assert found(workspace, "clue-bst").note == "there are no timestamps"
    other = found(workspace, "users-future-nmf-auc").note
    assert other == "future-listening was not among its tasks: run `graphkit evaluate-users`"
    creators = found(workspace, "users-cluster-creators")
    assert creators.verdict == "not measured"
    assert creators.note.endswith("run `graphkit train-encoder autoencoder` and `graphkit evaluate-users`")
    write_dataset(tmp_path, random_rows(7, 24, SIZES), SIZES, 24, name="another")
    assert found(workspace, "users-cluster-creators").note == (
        "the evaluation of user vectors is of another dataset: run `graphkit evaluate-users` again"
    )


def test_a_laboratory_that_does_not_compare_its_rows_measures_nothing(tmp_path: Path) -> None:
    """As one that was written before there were ``comparisons.parquet``."""
    workspace = make(tmp_path)
    batch = write_laboratory(workspace, {("future-listening", "AUC", "all"): {("autoencoder", MEAN): ahead(0.1)}})
    batch.path("comparisons.parquet").unlink()
    manifest = json.loads(batch.path("manifest.json").read_text())
    del manifest["files"]["comparisons.parquet"]
    batch.path("manifest.json").write_text(json.dumps(manifest))
    outcome = found(workspace, "users-future-average-auc")
    assert (outcome.verdict, outcome.value) == ("not measured", None)
    assert outcome.note.endswith("has no comparisons of its rows: run `graphkit evaluate-users` again")


def test_too_few_users_for_an_interval_are_said(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    table = {("future-listening", "AUC", "all"): {("autoencoder", MEAN): ahead(0.1)}}
    write_laboratory(workspace, table, intervals=False)
    outcome = found(workspace, "users-future-average-auc")
    assert outcome.verdict == "not measured"
    assert outcome.note == "too few users for an interval (future-listening, AUC, all users)"


def test_generated_data_never_show_what_was_planted(tmp_path: Path) -> None:
    workspace = make(tmp_path, planted=True)
    tables = {
        ("future-listening", "AUC", "all"): {("autoencoder", MEAN): ahead(0.1)},
        ("cluster-creators", "nDCG@50", "all"): {("autoencoder", MEAN): ahead(0.1)},
    }
    write_laboratory(workspace, tables)
    assert found(workspace, "users-future-average-auc").verdict == "planted"
    assert found(workspace, "users-cluster-creators").verdict == "holds"


def write_scaling(workspace: Workspace, exponent: float, largest: float = 1.0, held_back: float = 1.0) -> None:
    """Eight runs about a power law, a ninth at ``largest`` times it and four more at ``held_back`` times it."""
    compute = [10.0**step for step in range(8)]
    loss = [2 * c**-exponent * (1.01 if step % 2 else 0.99) for step, c in enumerate(compute)]
    law = fit_power_law(compute, loss)
    most, middle = law.predict(1e8), law.predict(1e5)
    runs = [{"held_back": NOTHING, "pf_days": c, "test_loss": x} for c, x in zip(compute, loss, strict=True)]
    runs += [{"held_back": NOTHING, "pf_days": 1e8, "test_loss": largest * most.value}]
    runs += [{"held_back": name, "pf_days": 1e5, "test_loss": held_back * middle.value} for name in FACTORS]
    body = {
        "runs": runs,
        "law": vars(law) | {"exponent": vars(law.exponent)},
        "decades": 8.0,
        "exponent": vars(law.exponent),
        "r_squared": law.r_squared,
        "largest": {"test_loss": largest * most.value, "predicted": vars(most)},
        "largest_within": most.holds(largest * most.value),
    }
    with workspace.begin(StageSpec.of("encoder-scaling", CONFIG, [workspace.current("dataset")])) as work:
        work.path("scaling.json").write_text(json.dumps(body))
        work.commit()


@pytest.mark.parametrize(("exponent", "verdict"), [(0.1, "holds"), (-0.1, "does not hold"), (0.0001, "undecided")])
def test_the_exponent_of_the_law(tmp_path: Path, exponent: float, verdict: str) -> None:
    workspace = make(tmp_path)
    write_scaling(workspace, exponent)
    outcome = found(workspace, "clue-law")
    assert outcome.verdict == verdict
    assert outcome.value == pytest.approx(exponent, abs=0.001)
    assert outcome.low is not None and outcome.high is not None  # noqa: PT018
    assert outcome.low < outcome.value < outcome.high
    assert "8 runs over 8.0 decades" in outcome.note


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "holds"), (1.2, "does not hold"), (0.8, "does not hold")])
def test_the_largest_run_is_where_the_law_says(tmp_path: Path, factor: float, verdict: str) -> None:
    workspace = make(tmp_path)
    write_scaling(workspace, 0.1, largest=factor)
    outcome = found(workspace, "clue-law-largest")
    assert (outcome.verdict, outcome.value) == (verdict, pytest.approx(factor))


def test_a_law_that_is_not_seen_to_fall_foretells_nothing(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    write_scaling(workspace, 0.0001)
    assert found(workspace, "clue-law-largest").verdict == "undecided"


@pytest.mark.parametrize(("factor", "verdict"), [(1.2, "holds"), (0.8, "does not hold"), (1.001, "undecided")])
def test_a_bottleneck_is_above_the_law_at_its_own_computing(tmp_path: Path, factor: float, verdict: str) -> None:
    workspace = make(tmp_path)
    write_scaling(workspace, 0.1, held_back=factor)
    outcomes = [row.outcome for row in measure_claims(workspace, CONFIG) if row.claim.id == "clue-bottlenecks"]
    assert [outcome.on for outcome in outcomes] == [f"CLUE's test loss, {name} held back" for name in FACTORS]
    assert {outcome.verdict for outcome in outcomes} == {verdict}
    assert [outcome.value for outcome in outcomes] == pytest.approx([factor] * len(FACTORS))
    # The ends are those of the law's own prediction there.
    law = fit_power_law(
        [10.0**step for step in range(8)],
        [2 * 10.0 ** (-0.1 * step) * (1.01 if step % 2 else 0.99) for step in range(8)],
    )
    middle = law.predict(1e5)
    loss = factor * middle.value
    assert (outcomes[0].low, outcomes[0].high) == pytest.approx((loss / middle.high, loss / middle.low))


def test_without_a_scaling_run_the_command_is_named(tmp_path: Path) -> None:
    outcome = found(make(tmp_path), "clue-law")
    assert outcome.verdict == "not measured"
    assert "run `graphkit encoder-scaling`" in outcome.note


def test_an_encoder_that_adds_more_for_cold_users(tmp_path: Path) -> None:
    """Even users are warm, odd ones cold."""
    workspace = make(tmp_path)
    odd = [user % 2 for user in range(NUM_USERS)]
    cases = ((1.5, 1.1, 0.02, "holds"), (1.1, 1.5, 0.02, "does not hold"), (1.5, 1.1, 0.8, "undecided"))
    for cold, warm, spread, verdict in cases:
        base = noisy(0.2, 1, spread)
        helped = noisy(0.2, 2, spread) * [cold if one else warm for one in odd]
        write_evaluation(workspace, {OURS: base, "with autoencoder": helped})
        outcome = found(workspace, "towers-autoencoder")
        assert outcome.verdict == verdict
        assert outcome.value == pytest.approx(cold / warm, rel=0.03 if spread < 0.1 else 0.5)
        assert outcome.on == "book, cold against warm users"
        assert "200 and 200 users, 1 training seed" in outcome.note
        shutil.rmtree(tmp_path / "evaluation")
    assert "`graphkit evaluate`" in found(workspace, "towers-autoencoder").note


def test_a_gain_within_the_spread_over_seeds_is_undecided(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    figures: dict[str, Any] = {
        OURS: noisy(0.2, 1),
        "with CLUE": noisy(0.2, 2) * [1 + user % 2 for user in range(NUM_USERS)],
    }
    write_evaluation(workspace, figures, spread=0.2, seeds=3)
    outcome = found(workspace, "towers-clue")
    assert outcome.verdict == "undecided"
    assert "within two standard errors over training seeds" in outcome.note
    missing = found(workspace, "towers-shopperbert")
    assert missing.note == "with ShopperBERT is not in the evaluation: run `graphkit ablate with-shopperbert`"


def test_names_are_those_of_the_laboratory() -> None:
    """What a claim names must be what the laboratory writes."""
    listed = read_claims()
    measures = [one.measure for one in listed.claim if isinstance(one.measure, UsersMeasure)]
    assert {name for one in measures for name in (one.model, *one.peers)} == set(listed.rows)
    encoders = ("autoencoder", "clue", "simclr", "shopperbert")
    there = {MEAN, representations.NMF, "popularity", "BST", "LightGCN", *encoders}
    there |= {f"BST + {name}" for name in encoders}
    assert {name for row in listed.rows.values() for name in row.names} <= there
    chosen = {f"AUC, {some} chosen" for some in ("something", "nothing")}
    ranks = {f"{metric}, sampled" for metric in rank_metrics(np.ones(1, np.int64))}
    assert {one.metric for one in measures} <= {"accuracy", "AUC", *chosen, "nDCG@50", *ranks}
    assert {one.task for one in measures} <= set(TASKS)
