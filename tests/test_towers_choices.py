"""What users chose on registering, weak signals apart, recency, further features: in training, bundle and audit."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from test_bundle_plain import programs, ranked, run
from towers_world import (
    CUTOFF,
    ITEMS,
    LABEL_START,
    NOBODY,
    NUM_USERS,
    frame,
    interactions,
    people,
    quick_config,
    write_dataset,
    write_graph,
    write_hgnn,
)

import graphkit.datasets.onboarding
import towers.user_spec
from graphkit import Bundle, weigh_edges
from graphkit.artefacts import StageSpec, Workspace
from graphkit.audit.bundle import CHECKS as BUNDLE_CHECKS
from graphkit.audit.examples import CHECKS
from graphkit.audit.finding import finding
from graphkit.audit.run import AuditedRun
from graphkit.config import load_config
from graphkit.config.towers import TowersSection
from graphkit.datasets.histories import read_histories
from graphkit.datasets.onboarding import choices, known_users, read_onboarding
from graphkit.datasets.store import Dataset
from graphkit.errors import ConfigError, GraphkitError, InputError
from graphkit.graph.store import FIT
from graphkit.histories import History, Pool, load_histories, save_histories
from graphkit.user_features import FeatureSpec, UserFeatures, mean_pool
from graphkit.vectors import load_vectors
from towers.examples import EXAMPLES_FILE
from towers.examples import write_examples as write_table
from towers.export import export_bundle
from towers.fit import read_task, train_towers
from towers.sources import read_sources
from towers.user_spec import categorical_table, feature_spec

EVERYTHING = "towers.user_inputs=[demographics,history,weak-apart,onboarding,counts]"
#: A newcomer to all but the questions asked on registering; and one who registers in the label period.
CHOOSER, LATE = 58, 59


def with_choices() -> pl.DataFrame:
    """The users table with choices: of everyone, those of ``LATE`` made three days before the cut-off."""
    early = CUTOFF - timedelta(days=200)
    chosen = [[f"podcast-{user % 30}", f"audiobook-{user % 24}", "nowhere"] for user in range(NUM_USERS)]
    chosen[NOBODY] = ["nowhere"]
    return people().with_columns(
        pl.Series("registered_at", [early] * LATE + [CUTOFF - timedelta(days=3)], dtype=pl.Datetime("ms", "UTC")),
        pl.Series("onboarding_items", chosen, dtype=pl.List(pl.String)),
        pl.Series(
            "onboarding_languages",
            [["sv", "en"] if user % 2 else ["en", "sv"] if user % 3 else [] for user in range(NUM_USERS)],
        ),
        pl.Series("plan", ["free" if user % 4 else "paid" for user in range(NUM_USERS)]),
    )


def rows() -> pl.DataFrame:
    """The world's interactions, a second weak signal among them; none of ``CHOOSER``."""
    likes = interactions().filter((pl.col("signal") == "follow") & (pl.col("user") % 2 == 0))
    every = pl.concat([interactions(), likes.with_columns(signal=pl.lit("like/heart"))])
    return every.filter(pl.col("user") != CHOOSER).sort("user", "timestamp", "item_type", "item")


def choosing_world(root: Path, timed: bool = True) -> Workspace:
    workspace = Workspace(root)
    log = rows() if timed else rows().with_columns(timestamp=pl.lit(None, pl.Datetime("ms", "UTC")))
    weak, extra = ("follow", "like/heart"), ("plan",)
    dataset = write_dataset(workspace, log, timed, users=with_choices(), weak=weak, user_categorical=extra)
    write_hgnn(workspace, write_graph(workspace, dataset))
    return workspace


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return Dataset.current(choosing_world(tmp_path_factory.mktemp("dataset")))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = choosing_world(tmp_path_factory.mktemp("served"))
    train_towers(workspace, quick_config("towers.epochs=1", EVERYTHING, "towers.half_life_days=20"))
    weigh_edges(workspace, quick_config())
    export_bundle(workspace, quick_config())  # as trained, whatever the configuration says by now
    return workspace


def audit(workspace: Workspace) -> dict[str, str]:
    run = AuditedRun.open(workspace)
    return {c.claim: finding(c, run).result for c in (*CHECKS, *BUNDLE_CHECKS) if c.stage in run.batches}


def test_all_inputs_are_served_as_they_were_trained(served: Workspace) -> None:
    bundle = Bundle.open(served.current("bundle"))
    users = load_vectors(served.current("towers").path("user_vectors.safetensors"))["user"]
    inputs = bundle.user_features.inputs(np.arange(NUM_USERS))
    np.testing.assert_allclose(bundle.user_vectors(inputs), users, atol=1e-5)
    groups = ["onboarding", "strong", "weak.follow", "weak.like%2Fheart"]
    assert sorted({pool.group for pool in bundle.user_features.histories}) == groups
    assert bundle.user_features.spec.categorical.keys() == {"country", "age", "plan", "onboarding_languages"}
    assert "weighted" in (bundle.folder / "README.md").read_text()
    assert bundle.recommend(f"u{CHOOSER}", "podcast").source == "towers"
    assert bundle.recommend(f"u{NOBODY}", "podcast").source == "towers"  # its plan is known
    assert set(audit(served).values()) == {"clean", "not applicable"}


def test_the_readme_s_programs_weigh_and_pool_alike(served: Workspace) -> None:
    for program in programs(served.current("bundle").folder):
        assert run(program, served.current("bundle").folder, "u17") == ranked(served, 17)


# --- onboarding ----------------------------------------------------------------------------------------


def test_choices_are_items_of_each_type_and_the_unknown_are_told_apart(dataset: Dataset) -> None:
    found = read_onboarding(dataset, None)
    assert found[Pool("podcast", "onboarding")].of(31).tolist() == [1]
    assert found[Pool("audiobook", "onboarding")].of(31).tolist() == [7]
    assert all(not len(history.of(NOBODY)) for history in found.values())
    every = choices(dataset.users(), dataset.items())
    assert every.filter(pl.col("user") == 31).rows() == [(31, "podcast", 1), (31, "audiobook", 7), (31, None, None)]
    without = choices(people(), dataset.items())
    assert (without.height, without.schema) == (0, every.schema)


def test_a_choice_counts_from_the_registration_on(dataset: Dataset) -> None:
    pool = Pool("podcast", "onboarding")
    assert not len(read_onboarding(dataset, LABEL_START)[pool].of(LATE))
    assert read_onboarding(dataset, CUTOFF)[pool].of(LATE).tolist() == [LATE % 30]
    assert len(read_onboarding(dataset, LABEL_START)[pool].of(1)) == 1
    spec = feature_spec(dataset, 8, TowersSection(user_inputs=("onboarding",)))
    assert spec.categorical == {"onboarding_languages": ("en|sv",)}  # the order in which they were named is no matter
    tables = [categorical_table(spec, known_users(dataset.users(), before))[:, 0] for before in (LABEL_START, CUTOFF)]
    assert [table[[1, 6, LATE]].tolist() for table in tables] == [[1, 0, 0], [1, 0, 1]]


def all_features(dataset: Dataset) -> UserFeatures:
    settings = TowersSection(user_inputs=("history", "weak-apart", "onboarding", "counts"))
    spec = feature_spec(dataset, 8, settings)
    rng = np.random.default_rng(0)
    embeddings = {t: rng.normal(size=(n, 8)).astype(np.float32) for t, n in ITEMS.items()}
    return towers.user_spec.user_features(dataset, spec, embeddings, LABEL_START, settings)


def test_the_label_is_in_none_of_its_users_pools(dataset: Dataset) -> None:
    """Strong, each weak signal, and what was chosen: whatever the vector of the label, the inputs are the same."""
    features = all_features(dataset)
    for pool in features.spec.pools:
        history = features.histories[pool]
        users = np.flatnonzero(np.diff(history.indptr))
        assert len(users)
        items = np.array([history.of(user)[-1] for user in users], np.int64)
        hidden = features.inputs(users, hide=(pool.item_type, items)).pooled
        assert (hidden != features.inputs(users).pooled).any(axis=1).all(), pool
        others = {t: vectors.copy() for t, vectors in features.embeddings.items()}
        others[pool.item_type][items[0]] = 1000
        again = UserFeatures(features.spec, features.histories, others, features.categorical)
        hide = (pool.item_type, items[:1])
        np.testing.assert_array_equal(
            again.inputs(users[:1], hide=hide).pooled, features.inputs(users[:1], hide=hide).pooled
        )


def test_a_user_made_cold_keeps_what_was_chosen(dataset: Dataset) -> None:
    features, users = all_features(dataset), np.array([8])
    pooled = features.inputs(users, drop=("podcast", np.array([True]))).pooled.reshape(len(features.spec.pools), 9)
    left = {pool for pool, block in zip(features.spec.pools, pooled, strict=True) if block.any()}
    assert Pool("podcast", "onboarding") in left
    assert {pool.group for pool in left if pool.item_type == "podcast"} == {"onboarding"}


def test_a_choice_makes_nobody_warm(tmp_path: Path) -> None:
    newcomer = rows().filter((pl.col("user") != 7) | (pl.col("timestamp") >= LABEL_START))
    workspace = Workspace(tmp_path)
    dataset = write_dataset(workspace, newcomer, users=with_choices(), weak=("follow", "like/heart"))
    write_hgnn(workspace, write_graph(workspace, dataset))
    counts = []
    for inputs in ("history", "history,onboarding"):
        config = quick_config("towers.validation_share=0.99", f"towers.user_inputs=[{inputs}]")
        task = read_task(read_sources(workspace.upstream("towers"), config.towers), 0)
        counts.append({cell.name: cell.num_users for cell in task.cells})
    assert counts[0].get("podcast/warm") == counts[1].get("podcast/warm")
    assert counts[1]["podcast/cold"] == counts[0].get("podcast/cold", 0) + 1


@pytest.mark.parametrize("stage", ["towers", "bundle"])
def test_the_audit_finds_choices_of_the_future(tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def after(workspace: Workspace) -> None:
        """Everything later than the moment, too."""
        for module in (graphkit.datasets.onboarding, towers.user_spec):
            monkeypatch.setattr(module, "known_users", lambda users, before: users)

    workspace = choosing_world(tmp_path)
    config = quick_config("towers.epochs=1", "towers.user_inputs=[onboarding]")
    if stage == "towers":
        after(workspace)
        upstream = workspace.upstream("towers")
        sources = read_sources(upstream, config.towers)
        with workspace.begin(StageSpec.of("towers", config, upstream.values())) as work:
            write_table(work.path(EXAMPLES_FILE), read_task(sources, 0), sources.features_end(FIT))
            work.commit()
        assert audit(workspace)["no example pools its label or a later row"] == "LEAK"
        return
    users = with_choices().with_columns(
        registered_at=pl.when(pl.col("user") == LATE).then(CUTOFF + timedelta(days=1)).otherwise("registered_at")
    )
    dataset = write_dataset(workspace, rows(), users=users, weak=("follow", "like/heart"), name="later")
    write_hgnn(workspace, write_graph(workspace, dataset))
    train_towers(workspace, config)
    after(workspace)
    weigh_edges(workspace, quick_config())
    with pytest.raises(GraphkitError, match="does not give what training gave"):
        export_bundle(workspace, quick_config())
    monkeypatch.setattr("towers.proof.Proof.require", lambda self, where: self)
    export_bundle(workspace, quick_config())
    assert audit(workspace)["pooled histories are of train rows before the cut-off"] == "LEAK"


# --- weak signals apart ----------------------------------------------------------------------------------


def test_each_weak_signal_has_its_own_history(dataset: Dataset) -> None:
    together = read_histories(dataset, CUTOFF)
    apart = read_histories(dataset, CUTOFF, apart=True)
    assert {pool.group for pool in apart} == {"strong", "weak.follow", "weak.like%2Fheart"}
    groups = ("weak.follow", "weak.like%2Fheart")
    for user in (1, 2):
        follows, likes = (apart[Pool("podcast", group)].of(user).tolist() for group in groups)
        assert (len(follows), len(likes)) == (1, 0 if user % 2 else 1)
        assert set(follows) | set(likes) == set(together[Pool("podcast", "weak")].of(user).tolist())


def test_both_ways_of_weak_signals_are_refused() -> None:
    with pytest.raises(ConfigError, match="name one of them"):
        load_config(overrides=["towers.user_inputs=[weak,weak-apart]"])


# --- recency ---------------------------------------------------------------------------------------------


def test_an_item_counts_half_a_half_life_later(tmp_path: Path) -> None:
    def heard(item: int, days: float) -> dict[str, object]:
        told = {"user": 0, "item_type": "podcast", "item": item, "signal": "stream", "split": "train"}
        return told | {"timestamp": CUTOFF - timedelta(days=days)}

    log = [heard(5, 40), heard(6, 20), heard(7, 10), heard(5, 10), heard(8, 80)]
    dataset = Dataset.open(write_dataset(Workspace(tmp_path), frame(log)))
    history = read_histories(dataset, CUTOFF, half_life_days=10)[Pool("podcast", "strong")]
    assert dict(zip(history.of(0).tolist(), history.weights[:4].tolist(), strict=True)) == pytest.approx(
        {8: 2**-8, 6: 0.25, 5: 0.5, 7: 0.5}
    )
    old = read_histories(dataset, CUTOFF, half_life_days=0.1)[Pool("podcast", "strong")]
    assert (old.weights > 0).all()
    with pytest.raises(ValueError, match="a moment to count from"):
        read_histories(dataset, None, half_life_days=10)


def test_a_weighted_mean_by_hand() -> None:
    row, item = np.array([0, 0, 2]), np.array([0, 1, 1])
    vectors = np.array([[4, 0], [0, 8]], np.float32)
    pooled = mean_pool(row, item, vectors, 3, np.array([0.75, 0.25, 0.001], np.float32))
    np.testing.assert_allclose(pooled, [[3, 2, np.log(3)], [0, 0, 0], [0, 8, np.log(2)]], rtol=1e-6)


def test_hiding_a_recent_item_leaves_the_others_mean() -> None:
    pool = Pool("a", "strong")
    weights = np.array([0.25, 0.75, 1.0], np.float32)
    history = History(np.array([0, 3]), np.array([0, 1, 2], np.int32), weights)
    vectors = {"a": np.array([[4], [8], [100]], np.float32)}
    spec = FeatureSpec(pools=(pool,), embedding_dim=1, counts=False, half_life_days=5)
    features = UserFeatures(spec, {pool: history}, vectors, np.zeros((1, 0), np.int32))
    hidden = features.inputs(np.array([0]), hide=("a", np.array([2]))).pooled
    assert hidden.tolist() == [[7]]


def test_weights_survive_a_file_and_a_selection(tmp_path: Path) -> None:
    history = History(np.array([0, 2, 3]), np.array([4, 5, 6], np.int32), np.array([0.1, 0.2, 0.3], np.float32))
    plain = History(np.array([0, 1]), np.array([3], np.int32))
    save_histories(tmp_path / "h", {Pool("a", "strong"): history, Pool("b", "strong"): plain})
    again = load_histories(tmp_path / "h")
    np.testing.assert_array_equal(again[Pool("a", "strong")].weights, history.weights)
    assert again[Pool("b", "strong")].weights is None
    chosen = history.select(np.array([1, 0])).where(np.array([True, False, True]))
    assert (chosen.indptr.tolist(), chosen.items.tolist()) == ([0, 1, 2], [6, 5])
    np.testing.assert_array_equal(chosen.weights, history.weights[[2, 1]])


def test_recency_needs_timestamps(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no timestamps to weigh histories by"):
        train_towers(choosing_world(tmp_path, timed=False), quick_config("towers.half_life_days=20"))


# --- categorical features --------------------------------------------------------------------------------


def test_features_by_name(dataset: Dataset) -> None:
    def found(*names: str) -> dict[str, tuple[str, ...]]:
        return feature_spec(dataset, 8, TowersSection(categorical=names or None)).categorical

    assert list(found()) == ["country", "age", "plan"]
    assert found("plan", "country") == {"plan": ("free", "paid"), "country": ("DE", "SE")}
    with pytest.raises(InputError, match=r"no feature 'plam'(.|\n)*did you mean 'plan'"):
        found("plam")
