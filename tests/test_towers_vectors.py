"""User vectors as an input of the user tower: which one stands beside a label, and that they are served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from test_bundle_plain import programs, ranked, run
from towers_world import (
    LABEL_START,
    NOBODY,
    NUM_USERS,
    interactions,
    make_world,
    quick_config,
    write_dataset,
    write_graph,
    write_hgnn,
)

from graphkit import Bundle, import_user_vectors, weigh_edges
from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.audit.examples import CHECKS
from graphkit.audit.finding import Finding, finding
from graphkit.audit.run import AuditedRun
from graphkit.blend.holdout import without_imports
from graphkit.config import Config
from graphkit.errors import ArtefactError, ConfigError, InputError
from graphkit.graph.store import FIT
from graphkit.histories import History
from graphkit.pipeline import batch_rows, chain, plan
from graphkit.stages import ALL_STAGES
from graphkit.user_features import FeatureSpec, UserFeatures, VectorInput
from graphkit.user_vectors import FOLDS, UserVectors, load_user_vectors, pair_folds, save_user_vectors
from graphkit.vectors import load_vectors
from towers.examples import EXAMPLES_FILE
from towers.examples import write_examples as write_table
from towers.export import export_bundle
from towers.feed import Feed, kept_vectors, training_batch
from towers.fit import read_task, train_towers
from towers.labels import Labels
from towers.sources import read_sources
from towers.vector_inputs import vector_inputs

DIM = 4
NAMES = "towers.user_vectors=[music,film]"


def made(name: str, num_fit: int, seed: int = 0) -> UserVectors:
    """Vectors of everyone but two users, of order ten: ``NOBODY`` has one, who is in no interaction."""
    rng = np.random.default_rng(seed)
    matrices = [10 * rng.standard_normal((NUM_USERS, DIM)).astype(np.float32) for _ in range(num_fit + 1)]
    for matrix in matrices:
        matrix[[3, 4]] = 0
    return UserVectors(name, tuple(matrices[:-1]), matrices[-1])


def with_vectors(root: Path, timed: bool = True, **meta: object) -> Workspace:
    """The towers' world with a batch of the vectors ``music`` and ``film``."""
    workspace = make_world(root, timed, **meta)
    num_fit = 1 if timed else FOLDS
    with workspace.begin(StageSpec("user-vectors", {}, 0, (workspace.current("dataset"),))) as work:
        file = work.path("user_vectors.safetensors")
        save_user_vectors(file, made("music", num_fit), made("film", num_fit, seed=1))
        work.commit()
    return workspace


def trained(root: Path, *sets: str, timed: bool = True) -> tuple[Workspace, Config, Batch]:
    workspace, config = with_vectors(root, timed), quick_config("towers.epochs=1", NAMES, *sets)
    return workspace, config, train_towers(workspace, config)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace, config, _ = trained(tmp_path_factory.mktemp("served"))
    weigh_edges(workspace, config)
    export_bundle(workspace, quick_config())  # as trained, whatever the configuration says by now
    return workspace


def test_the_towers_are_made_from_the_vectors_batch(served: Workspace) -> None:
    towers = served.current("towers")
    assert towers.manifest.upstream["user-vectors"] == served.current("user-vectors").id
    (row,) = plan(served, quick_config("towers.epochs=1", NAMES), ["towers"])
    assert (row["reads"], row["state"]) == ("dataset, graph, hgnn, user-vectors", "up to date")
    (row,) = plan(served, quick_config("towers.epochs=1"), ["towers"])
    assert (row["reads"], row["state"]) == ("dataset, graph, hgnn", "to do")


def test_the_bundle_serves_the_vectors_of_the_cutoff(served: Workspace) -> None:
    bundle, batch = Bundle.open(served.current("bundle")), served.current("user-vectors")
    inputs = bundle.user_features.inputs(np.arange(NUM_USERS))
    stored = [
        load_user_vectors(batch.path("user_vectors.safetensors"), name, NUM_USERS, timed=True)
        for name in ("music", "film")
    ]
    np.testing.assert_array_equal(inputs.vectors, np.concatenate([one.serve for one in stored], axis=1))
    users = load_vectors(served.current("towers").path("user_vectors.safetensors"))["user"]
    np.testing.assert_allclose(bundle.user_vectors(inputs), users, atol=1e-5)
    others = inputs._replace(vectors=inputs.vectors[::-1].copy())
    assert np.abs(bundle.user_vectors(others) - users).max() > 0.01
    readme = (bundle.folder / "README.md").read_text()
    assert "`input_vectors.safetensors`" in readme
    assert "`music` (4), `film` (4)" in readme


def test_the_readme_s_programs_read_the_vectors(served: Workspace) -> None:
    for program in programs(served.current("bundle").folder):
        assert run(program, served.current("bundle").folder, "u17") == ranked(served, 17)


def test_a_user_with_a_vector_alone_is_not_blank(served: Workspace) -> None:
    bundle = Bundle.open(served.current("bundle"))
    assert bundle.recommend(f"u{NOBODY}", "podcast").source == "towers"


def test_the_saved_model_takes_the_vectors(served: Workspace) -> None:
    import tensorflow as tf

    bundle = Bundle.open(served.current("bundle"))
    inputs = bundle.user_features.inputs(np.arange(NUM_USERS))
    call = tf.saved_model.load(str(bundle.folder / "user_tower")).signatures["serving_default"]
    found = call(**{name: tf.constant(array) for name, array in inputs._asdict().items()})["user_vector"]
    np.testing.assert_allclose(found.numpy(), bundle.user_vectors(inputs), atol=1e-5)


def vectors_alone(num_fit: int) -> tuple[UserVectors, UserFeatures]:
    one = made("music", num_fit)
    spec = FeatureSpec(pools=(), embedding_dim=1, vectors={"music": VectorInput(dim=DIM, scale=1.0)})
    return one, UserFeatures(spec, {}, {}, np.zeros((NUM_USERS, 0), np.int32), (one,))


def test_beside_a_label_stands_the_vector_that_does_not_know_it() -> None:
    rng = np.random.default_rng(2)
    users, items = rng.integers(NUM_USERS, size=200), rng.integers(50, size=200)
    timed, of_timed = vectors_alone(1)
    np.testing.assert_array_equal(of_timed.inputs(users, hide=("a", items)).vectors, timed.fit[0][users])
    np.testing.assert_array_equal(of_timed.inputs(users).vectors, timed.fit[0][users])
    folded, of_folded = vectors_alone(FOLDS)
    expected = [folded.fit[fold][user] for fold, user in zip(pair_folds("a", users, items), users, strict=True)]
    np.testing.assert_array_equal(of_folded.inputs(users, hide=("a", items)).vectors, expected)
    # No fold's vectors are free of every label, so without a label to hide nothing is known.
    assert not of_folded.inputs(users).vectors.any()
    later = replace(of_folded, vectors=(folded.served,))
    np.testing.assert_array_equal(later.inputs(users).vectors, folded.serve[users])


def test_values_are_brought_to_order_one_and_zero_stays_zero() -> None:
    (scale,) = (one.scale for one in vector_inputs((made("music", FOLDS),)).values())
    scaled = scale * np.concatenate(made("music", FOLDS).fit)
    known = scaled[scaled.any(axis=1)]
    assert np.sqrt(np.square(known).mean()) == pytest.approx(1, rel=1e-4)


def test_the_tower_multiplies_by_the_scale() -> None:
    from towers.two_tower import user_tower

    settings = quick_config().towers
    rows = np.random.default_rng(0).standard_normal((5, DIM)).astype(np.float32)
    found = []
    for scale in (1.0, 0.1):
        spec = FeatureSpec(pools=(), embedding_dim=1, vectors={"music": VectorInput(dim=DIM, scale=scale)})
        tower = user_tower(spec, settings)
        rng = np.random.default_rng(1)
        for weight in tower.weights:
            weight.assign(rng.standard_normal(weight.shape).astype(np.float32))
        nothing = np.zeros((5, 0), np.float32)
        found.append(
            np.asarray(tower({"pooled": nothing, "categorical": nothing.astype(np.int32), "vectors": rows / scale}))
        )
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_whole_vectors_are_hidden_in_training_alone() -> None:
    one, features = vectors_alone(1)
    spec = FeatureSpec(pools=(), embedding_dim=1, vectors=dict.fromkeys("ab", VectorInput(dim=3, scale=1.0)))
    kept = kept_vectors(spec, 4000, 0.25, np.random.default_rng(0)).reshape(4000, 2, 3)
    assert (kept == kept[:, :, :1]).all()
    np.testing.assert_allclose(kept[:, :, 0].mean(axis=0), 0.75, atol=0.03)
    assert np.corrcoef(kept[:, 0, 0], kept[:, 1, 0])[0, 1] == pytest.approx(0, abs=0.05)

    users = np.repeat(np.arange(NUM_USERS), 5)
    labels = Labels("a", users, users % 7, History(np.arange(NUM_USERS + 1), np.arange(NUM_USERS, dtype=np.int32)))
    feed = Feed(features, {"a": _NoItems()}, {"a": np.full(NUM_USERS, 0.1, np.float32)})
    settings = quick_config("towers.vector_dropout=0.5").towers
    rows = np.arange(len(users))
    np.testing.assert_array_equal(
        training_batch(feed, labels, rows, settings).x["user"]["vectors"], one.fit[0][users]
    )
    hidden = training_batch(feed, labels, rows, settings, np.random.default_rng(0)).x["user"]["vectors"]
    gone = ~hidden.any(axis=1) & one.fit[0][users].any(axis=1)
    assert 0.4 < gone.mean() < 0.6
    np.testing.assert_array_equal(hidden[~gone], one.fit[0][users][~gone])


class _NoItems:
    def inputs(self, items: np.ndarray) -> _NoItems:
        return self

    def _asdict(self) -> dict[str, np.ndarray]:
        return {}


def audited(workspace: Workspace) -> dict[str, Finding]:
    run = AuditedRun.open(workspace)
    return {check.claim: finding(check, run) for check in CHECKS}


def write_examples(workspace: Workspace, config: Config) -> None:
    """A towers batch with the examples that training would take, without the training."""
    upstream = workspace.upstream("towers", config)
    sources = read_sources(upstream, config.towers)
    with workspace.begin(StageSpec.of("towers", config, upstream.values())) as work:
        write_table(work.path(EXAMPLES_FILE), read_task(sources, 0), sources.features_end(FIT))
        work.commit()


CLAIM = "no user vector knows its label"


@pytest.mark.parametrize("timed", [True, False])
def test_the_audit_tells_a_vector_that_knows_the_label(
    tmp_path: Path, timed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = quick_config(NAMES)
    clean = with_vectors(tmp_path / "clean", timed)
    write_examples(clean, config)
    found = audited(clean)[CLAIM]
    assert (found.result, found.checked > 100) == ("clean", True)

    monkeypatch.setattr(UserFeatures, "known_vectors", _as_served)
    leaking = with_vectors(tmp_path / "leaking", timed)
    write_examples(leaking, config)
    found = audited(leaking)[CLAIM]
    assert found.is_leak
    assert ("before the label period" if timed else "without the label's fold") in found.first_offender["why"]


def _as_served(self: UserFeatures, users: np.ndarray, hide: object = None) -> np.ndarray:
    """Careless: everything that is known by the cut-off."""
    return np.concatenate([one.serve[users] for one in self.vectors], axis=1)


@pytest.mark.parametrize("timed", [True, False])
def test_validation_users_stand_beside_vectors_that_do_not_know_what_is_to_be_found(
    tmp_path: Path, timed: bool
) -> None:
    workspace, config = with_vectors(tmp_path, timed), quick_config(NAMES)
    sources = read_sources(workspace.upstream("towers", config), config.towers)
    task = read_task(sources, 0)
    assert {cell.group for cell in task.cells} == {"warm", "cold"}
    for cell in task.cells:
        vectors = cell.inputs.vectors[:, :DIM]
        if timed:
            assert all((sources.vectors[0].fit[0] == row).all(axis=1).any() for row in vectors)
        elif cell.group == "cold":
            assert not vectors.any()
        else:
            for row in range(cell.num_users):
                if not vectors[row].any():
                    continue
                ((fold, user),) = (
                    (fold, int(np.flatnonzero((matrix == vectors[row]).all(axis=1))[0]))
                    for fold, matrix in enumerate(sources.vectors[0].fit)
                    if (matrix == vectors[row]).all(axis=1).any()
                )
                found = cell.relevant.of(row)
                assert (pair_folds(cell.item_type, np.full(len(found), user), found) == fold).all()


def test_a_cold_user_with_a_vector_alone_is_validated(tmp_path: Path) -> None:
    rows = interactions()
    only = rows.filter((pl.col("user") != 7) | (pl.col("timestamp") >= LABEL_START))
    workspace = Workspace(tmp_path)
    write_hgnn(workspace, write_graph(workspace, write_dataset(workspace, only)))
    counts = []
    for names in ((), (NAMES,)):
        if names:
            with workspace.begin(StageSpec("user-vectors", {}, 0, (workspace.current("dataset"),))) as work:
                save_user_vectors(work.path("user_vectors.safetensors"), made("music", 1), made("film", 1))
                work.commit()
        config = quick_config("towers.validation_share=0.99", *names)
        task = read_task(read_sources(workspace.upstream("towers", config), config.towers), 0)
        counts.append({cell.name: cell.num_users for cell in task.cells})
    assert counts[1]["podcast/cold"] == counts[0].get("podcast/cold", 0) + 1


def test_names_and_batches_that_are_not_there(tmp_path: Path) -> None:
    workspace = make_world(tmp_path)
    with pytest.raises(ArtefactError, match="import-user-vectors"):
        train_towers(workspace, quick_config(NAMES))
    path = tmp_path / "v.parquet"
    pl.DataFrame({"user_id": ["u1"], "vector": [[1.0]], "as_of": ["serve"]}).write_parquet(path)
    import_user_vectors(workspace, {"music": path})
    with pytest.raises(InputError, match="did you mean 'music'"):
        train_towers(workspace, quick_config("towers.user_vectors=[musik]"))
    with pytest.raises(InputError, match="that training may use"):
        train_towers(workspace, quick_config("towers.user_vectors=[music]"))


def refusal(workspace: Workspace, names: str) -> ArtefactError:
    with pytest.raises(ArtefactError) as caught:
        train_towers(workspace, quick_config(f"towers.user_vectors={names}"))
    return caught.value


def test_a_name_without_vectors_is_told_from_an_encoder_that_is_not_trained(tmp_path: Path) -> None:
    given = "or a name that `graphkit import-user-vectors` was given"
    assert "no dataset yet" in refusal(Workspace(tmp_path / "empty"), "[autoencodr]").problem
    nothing = make_world(tmp_path / "nothing")
    mistyped = refusal(nothing, "[autoencodr]")
    assert mistyped.problem == "there are no user vectors 'autoencodr', which towers.user_vectors names"
    assert mistyped.expected == (
        f"did you mean 'autoencoder'? known: autoencoder, clue, shopperbert, simclr, {given}"
    )
    assert mistyped.found == "no user vectors at all"
    assert mistyped.fix == "correct the name, or run `graphkit import-user-vectors autoencodr=FILE`"
    (row,) = plan(nothing, quick_config("towers.user_vectors=[autoencodr]"), ["towers"])
    assert row["state"] == f"not possible yet: {mistyped.problem}"
    untrained = refusal(nothing, "[clue]")
    assert untrained.problem == "the user encoder 'clue', which towers.user_vectors names, is not trained yet"
    assert untrained.fix == "run `graphkit train-encoder clue` first"
    imported = refusal(with_vectors(tmp_path / "imported"), "[music,musik]")
    assert imported.expected == (
        f"did you mean 'music'? known: autoencoder, clue, film, music, shopperbert, simclr, {given}"
    )
    assert imported.found == "vectors of film, music"
    # One command for all: an import replaces the one before.
    assert imported.fix == "correct the name, or run `graphkit import-user-vectors music=FILE musik=FILE`"


def test_vectors_of_another_dataset_are_refused_and_stale(tmp_path: Path) -> None:
    workspace, config, _ = trained(tmp_path)
    path = tmp_path / "v.parquet"
    pl.DataFrame({"user_id": ["u1"], "vector": [[1.0]]}).write_parquet(path)
    import_user_vectors(workspace, {"music": path, "film": path})
    stale = {row["stage"]: row["stale"] for row in batch_rows(workspace) if row["role"] == "current"}
    assert stale["towers"].startswith("user-vectors is ")
    dataset = write_dataset(workspace, interactions(), name="another")
    write_hgnn(workspace, write_graph(workspace, dataset))
    with pytest.raises(ArtefactError, match="user-vectors was made from another dataset"):
        train_towers(workspace, config)


def test_a_tower_may_read_vectors_alone(tmp_path: Path) -> None:
    _, _, towers = trained(tmp_path, "towers.user_inputs=[]")
    spec = FeatureSpec.model_validate_json(towers.path("features.json").read_text())
    assert (spec.pools, spec.categorical, spec.vectors_dim) == ((), {}, 2 * DIM)


def test_encoders_that_are_named_come_before_the_towers() -> None:
    config = quick_config("towers.user_vectors=[music,clue,autoencoder]")
    stages = chain(False, config)
    assert stages[stages.index("hgnn") + 1 : stages.index("towers") + 1] == ["clue", "autoencoder", "towers"]
    assert "clue" not in chain(False, quick_config())
    assert config.stage("towers").upstream == ("dataset", "graph", "hgnn", "user-vectors", "clue", "autoencoder")
    assert config.stage("bundle") == ALL_STAGES["bundle"]


def test_a_hold_out_has_no_imported_vectors() -> None:
    left = without_imports(quick_config("towers.user_vectors=[music,clue]"))
    assert left.towers.user_vectors == ("clue",)
    with pytest.raises(ConfigError, match="hold-out"):
        without_imports(quick_config("towers.user_vectors=[music]", "towers.user_inputs=[]"))
