"""The stage end to end on a planted little graph: what it writes, repeats, resumes and refuses."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from graphkit.artefacts import Batch, Workspace
from graphkit.config import Config, load_config
from graphkit.errors import ConfigError, DataError, GraphkitError
from graphkit.graph.store import FIT, LISTENING, SERVE, read_graph
from graphkit.hgnn import fit as fit_module
from graphkit.hgnn.graph_tensors import to_tensors
from graphkit.hgnn.infer import embed_graph
from graphkit.hgnn.links import LinkSets, find_links
from graphkit.hgnn.model_file import load_model
from graphkit.hgnn.neighbours import load_pooling
from graphkit.hgnn.step import Step
from graphkit.hgnn.text_neighbours import with_text_neighbours
from graphkit.hgnn.train import train_hgnn
from graphkit.training.checkpoint import load_checkpoint, save_checkpoint
from graphkit.vectors import load_vectors
from tests.hgnn_graphs import CPU, both_directions, commit_graph, pairs_of, write_graph_batch

SMALL = ("hgnn.hidden_dim=12", "hgnn.out_dim=8", "hgnn.fan_outs=[4,3]", "hgnn.batch_size=64", "hgnn.negatives=16")
#: What changes from step to step, besides the weights.
EVERYTHING = (
    "hgnn.schedule=cosine",
    "hgnn.clip_norm=0.05",
    "hgnn.weight_decay=0.01",
    "hgnn.max_edges_per_relation=50",
)
RECORD = fit_module._record
ONE_THREAD = "run.threads=1"  # the graph is tiny, and threads only wait for one another


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def settings(*more: str, preset: str = "default") -> Config:
    return load_config(preset, (*SMALL, ONE_THREAD, "hgnn.epochs=4", *more))


def trained(root: Path, *more: str, preset: str = "default") -> Batch:
    config = settings(*more, preset=preset)
    write_graph_batch(root, config)
    return train_hgnn(Workspace(root), config)


def training(batch: Batch) -> dict:
    return json.loads(batch.path("training.json").read_text())


def test_what_the_stage_writes(tmp_path: Path) -> None:
    batch = trained(tmp_path, "hgnn.text_neighbours=0")
    vectors = load_vectors(batch.path("embeddings.safetensors"))
    assert {name: z.shape for name, z in vectors.items()} == {
        "fit/audiobook": (45, 8), "fit/podcast": (65, 8), "serve/audiobook": (45, 8), "serve/podcast": (65, 8),
    }  # fmt: skip
    for z in vectors.values():
        np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, atol=1e-5)
    assert not np.allclose(vectors["fit/podcast"][:60], vectors["serve/podcast"][:60])  # other edges
    np.testing.assert_allclose(vectors["fit/podcast"][60:], vectors["serve/podcast"][60:], atol=1e-6)  # text alone
    log = training(batch)
    assert [record["epoch"] for record in log["epochs"]] == [1, 2, 3, 4]
    best = max(log["epochs"], key=lambda record: record["val_mrr"])
    assert log["best_epoch"] == best["epoch"]
    assert batch.manifest.metrics["val_mrr"] == best["val_mrr"]
    assert batch.manifest.metrics["epochs"] == 4
    assert batch.manifest.metrics["edges_per_second"] > 0
    assert batch.manifest.space_id is not None
    assert batch.manifest.space_id.startswith("hgnn-")
    assert sorted(batch.manifest.files) == ["embeddings.safetensors", "model.safetensors", "training.json"]


def test_items_without_an_edge_are_embedded_by_their_text_neighbours(tmp_path: Path) -> None:
    batch = trained(tmp_path, "hgnn.text_neighbours=3")
    model = load_model(batch.path("model.safetensors"))
    graph = read_graph(Workspace(tmp_path).current("graph"), SERVE)
    found = load_vectors(batch.path("embeddings.safetensors"))["serve/podcast"]
    for count, same in ((3, True), (0, False)):
        z = embed_graph(model, to_tensors(with_text_neighbours(graph, count), CPU), load_pooling("torch"))["podcast"]
        assert np.allclose(found[60:], z[60:], atol=1e-5) == same
        np.testing.assert_allclose(found[:60], z[:60], atol=1e-5)


def test_balanced_counts_are_logged(tmp_path: Path) -> None:
    batch = trained(tmp_path, "hgnn.min_edges_per_relation=1")
    edges = [record["edges"] for record in training(batch)["epochs"]]
    assert set(edges[0]) == {"audiobook-audiobook", "audiobook-podcast", "podcast-podcast"}
    assert all(len(set(of_epoch.values())) == 1 for of_epoch in edges)


@pytest.mark.parametrize("loss", ["margin", "softmax"])
def test_training_learns_the_planted_topics(tmp_path: Path, loss: str) -> None:
    log = training(trained(tmp_path, f"hgnn.loss={loss}", "hgnn.epochs=8", "hgnn.learning_rate=0.01"))
    first, last = log["epochs"][0], log["epochs"][-1]
    assert last["loss"] < 0.8 * first["loss"]
    assert log["epochs"][log["best_epoch"] - 1]["val_mrr"] > 0.12  # 60 nodes ranked at random: about 0.08


@pytest.mark.parametrize(
    "sets",
    [
        ("hgnn.aggregator=mean", "hgnn.edge_weights=true", "hgnn.projection=true", "hgnn.residual=true"),
        ("hgnn.aggregator=attention", "hgnn.jumping=true", "hgnn.relation_weights=true"),
        ("hgnn.id_embeddings=true", "hgnn.cold_share=0.1", "hgnn.batch_negatives=16", "hgnn.hard_negatives=16"),
    ],
)
def test_what_is_beyond_the_paper_learns_the_planted_topics(tmp_path: Path, sets: tuple[str, ...]) -> None:
    log = training(trained(tmp_path, *sets, "hgnn.epochs=8", "hgnn.learning_rate=0.01"))
    assert log["epochs"][log["best_epoch"] - 1]["val_mrr"] > 0.12


def test_paper_preset_runs(tmp_path: Path) -> None:
    batch = trained(tmp_path, "hgnn.epochs=1", preset="paper")
    assert load_vectors(batch.path("embeddings.safetensors"))["fit/podcast"].min() >= 0  # the last ReLU


@pytest.mark.parametrize(
    ("preset", "sets"),  # negatives of the positive's type, of the catalogue; a homogeneous model
    [("default", ()), ("paper", ()), ("default", ("hgnn.shared_weights=true",))],
)
def test_the_tripartite_graph_embeds_items_and_users(tmp_path: Path, preset: str, sets: tuple[str, ...]) -> None:
    """Users have no text, and two of them (and two items) no edge."""
    rng = np.random.default_rng(0)
    sizes = {"audiobook": 22, "podcast": 32, "user": 42}
    features = {t: rng.standard_normal((sizes[t], 6)).astype(np.float32) for t in ("audiobook", "podcast")}
    listened = {
        ("user", LISTENING, t): [(u, int(i)) for u in range(40) for i in rng.integers(sizes[t] - 2, size=4)]
        for t in features
    }
    edges = both_directions(listened, sizes)
    commit_graph(tmp_path, settings(), sizes, {FIT: edges, SERVE: edges}, features)
    batch = train_hgnn(Workspace(tmp_path), settings("hgnn.epochs=2", "hgnn.batch_size=64", *sets, preset=preset))
    assert set(training(batch)["epochs"][0]["val_mrr_by_relation"]) == {
        "listening:user-audiobook", "listening:user-podcast",
    }  # fmt: skip
    vectors = load_vectors(batch.path("embeddings.safetensors"))
    assert {name: z.shape for name, z in vectors.items()} == {
        f"{snapshot}/{t}": (n, 8) for snapshot in (FIT, SERVE) for t, n in sizes.items()
    }
    for t in sizes:
        connected = vectors[f"fit/{t}"][:-2]
        np.testing.assert_allclose(np.linalg.norm(connected, axis=1), 1, atol=1e-5)
    assert not vectors["fit/user"][-2:].any()


@pytest.mark.parametrize("back_end", ["torch", "dgl"])
def test_a_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path, back_end: str) -> None:
    if back_end == "dgl":
        pytest.importorskip("dgl", reason="DGL is not installed here")
    one, two, other = (
        trained(tmp_path / name, f"hgnn.neighbours={back_end}", f"run.seed={seed}")
        for name, seed in (("one", 7), ("two", 7), ("other", 8))
    )
    assert one.manifest.metrics["neighbours"] == back_end
    assert one.content_hash == two.content_hash
    assert one.content_hash != other.content_hash


def interrupt_after(monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    """Make the run die in the middle of the epoch after ``epochs``, as a kill would."""
    real = fit_module.Fit._epoch

    def dying(self, epoch, *rest):
        result = real(self, epoch, *rest)
        if epoch > epochs:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(fit_module.Fit, "_epoch", dying)


@pytest.mark.parametrize("epochs_done", [0, 1, 3])
def test_an_interrupted_run_continues_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs_done: int
) -> None:
    whole = trained(tmp_path / "whole", *EVERYTHING)
    with monkeypatch.context() as patched:
        interrupt_after(patched, epochs_done)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "cut", *EVERYTHING)
    with monkeypatch.context() as patched:
        ran: list[int] = []
        real = fit_module.Fit._epoch
        patched.setattr(
            fit_module.Fit, "_epoch", lambda self, epoch, *rest: ran.append(epoch) or real(self, epoch, *rest)
        )
        resumed = train_hgnn(Workspace(tmp_path / "cut"), settings(*EVERYTHING))
    assert ran == list(range(epochs_done + 1, 5))
    assert resumed.content_hash == whole.content_hash
    assert training(resumed) == training(whole)
    assert resumed.manifest.metrics["coverage"] == whole.manifest.metrics["coverage"]
    assert sorted(resumed.manifest.files) == sorted(whole.manifest.files)


def test_a_long_epoch_continues_in_its_middle_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(tmp_path / "whole", *EVERYTHING)
    per_epoch = count_steps(monkeypatch, lambda: trained(tmp_path / "again", *EVERYTHING)) // 4
    with monkeypatch.context() as patched:
        patched.setattr(fit_module, "CHECKPOINT_SECONDS", 0.0)  # after every batch
        real, calls = Step.take, iter(range(1000))

        def dying(self, *rest):
            if next(calls) == per_epoch + 3:  # after three batches of the second epoch
                raise KeyboardInterrupt
            return real(self, *rest)

        patched.setattr(Step, "take", dying)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "cut", *EVERYTHING)
    (folder,) = (tmp_path / "cut" / "hgnn").glob(".partial-*/checkpoint")
    assert [path.name for path in folder.glob("*.safetensors")] == ["epoch-1-batch-3.safetensors"]
    resumed: list[Batch] = []
    steps = count_steps(
        monkeypatch, lambda: resumed.append(train_hgnn(Workspace(tmp_path / "cut"), settings(*EVERYTHING)))
    )
    assert steps == 3 * per_epoch - 3
    assert resumed[0].content_hash == whole.content_hash


def count_steps(monkeypatch: pytest.MonkeyPatch, run: Callable[[], object]) -> int:
    """How many optimiser steps ``run`` takes."""
    taken: list[int] = []
    with monkeypatch.context() as patched:
        real = Step.take
        patched.setattr(Step, "take", lambda self, *rest: taken.append(1) or real(self, *rest))
        run()
    return len(taken)


def test_resuming_knows_when_patience_is_at_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.1, 0.3, 0.2, 0.9, 0.25, 0.8])  # the fourth is of the epoch that is interrupted
    monkeypatch.setattr(fit_module, "link_mrr", lambda *_: {"a-p": next(scores)})
    patient = ("hgnn.epochs=9", "hgnn.patience=2")
    with monkeypatch.context() as patched:
        patched.setattr(fit_module, "_record", lambda epoch, *rest: 1 / 0 if epoch == 4 else RECORD(epoch, *rest))
        with pytest.raises(ZeroDivisionError):
            trained(tmp_path, *patient)
    log = training(train_hgnn(Workspace(tmp_path), settings(*patient)))
    assert [record["val_mrr"] for record in log["epochs"]] == [0.1, 0.3, 0.2, 0.25]
    assert log["best_epoch"] == 2


@pytest.mark.parametrize("damage", ["truncated", "flipped", "index", "gone"])
def test_a_damaged_checkpoint_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    whole = trained(tmp_path / "whole")
    with monkeypatch.context() as patched:
        interrupt_after(patched, 2)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "cut")
    (tensors,) = (tmp_path / "cut" / "hgnn").glob(".partial-*/checkpoint/epoch-2.safetensors")
    content = tensors.read_bytes()
    if damage == "truncated":
        tensors.write_bytes(content[:-100])
    elif damage == "flipped":
        tensors.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "index":
        (tensors.parent / "checkpoint.json").write_text('{"file": ')
    else:
        tensors.unlink()
    assert train_hgnn(Workspace(tmp_path / "cut"), settings()).content_hash == whole.content_hash


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, {"x": torch.ones(3)}, {"epoch": 1})
    (tmp_path / "epoch-2.safetensors").write_bytes(b"half a fi")
    (tmp_path / "checkpoint.json.new").write_text("{")
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found[0]["x"].tolist() == [1, 1, 1]
    assert found[1] == {"epoch": 1}


def test_patience_stops_the_run_and_the_best_model_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.1, 0.3, 0.2, 0.25, 0.9])
    monkeypatch.setattr(fit_module, "link_mrr", lambda *_: {"a-p": next(scores)})
    log = training(trained(tmp_path, "hgnn.epochs=9", "hgnn.patience=2"))
    assert [record["val_mrr"] for record in log["epochs"]] == [0.1, 0.3, 0.2, 0.25]
    assert log["best_epoch"] == 2


def test_without_validation_links_the_loss_decides(tmp_path: Path) -> None:
    log = training(trained(tmp_path, "hgnn.validation_share=0"))
    assert all(record["val_mrr"] is None for record in log["epochs"])
    assert log["best_epoch"] == min(log["epochs"], key=lambda record: record["loss"])["epoch"]


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fit_module.Objective.loss
    seen: list[LinkSets] = []

    def poisoned(self, model, batch, *rest):
        seen.append(batch)
        return real(self, model, batch, *rest) * (float("nan") if len(seen) == 15 else 1.0)

    monkeypatch.setattr(fit_module.Objective, "loss", poisoned)
    with pytest.raises(GraphkitError, match="loss became nan in epoch 2, batch 5") as caught:
        trained(tmp_path)
    assert caught.value.exit_code == 1
    (folder,) = (tmp_path / "hgnn").glob(".partial-*/checkpoint")
    assert f"checkpoint is kept in {folder}" in str(caught.value)
    assert load_checkpoint(folder) is not None
    assert str(folder / "failed-batch.safetensors") in str(caught.value)
    failed = load_file(folder / "failed-batch.safetensors")
    assert len(failed) == 6
    for relation, links in seen[-1].items():
        assert f"{len(links)} {relation.name}" in str(caught.value)
        assert failed[f"{relation.name}/src"].tolist() == links.src.tolist()
        assert failed[f"{relation.name}/dst"].tolist() == links.dst.tolist()


class InfiniteGradient(torch.autograd.Function):
    """The number itself, with a gradient that is none."""

    @staticmethod
    def forward(_, x):
        return x.clone()

    @staticmethod
    def backward(_, gradient):
        return gradient * float("inf")


def test_a_gradient_that_is_no_number_stops_before_the_weights_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fit_module.Objective.loss
    weights: list[dict[str, torch.Tensor]] = []

    def poisoned(self, model, *rest):
        models.append(model)
        weights.append({name: w.clone() for name, w in model.state_dict().items()})
        loss = real(self, model, *rest)
        return InfiniteGradient.apply(loss) if len(weights) == 3 else loss

    models: list[torch.nn.Module] = []
    monkeypatch.setattr(fit_module.Objective, "loss", poisoned)
    with pytest.raises(GraphkitError, match=r"gradient became (inf|nan) in epoch 1, batch 3") as caught:
        trained(tmp_path, "hgnn.clip_norm=1")
    assert "no checkpoint yet" in str(caught.value)
    assert all(torch.equal(w, weights[-1][name]) for name, w in models[-1].state_dict().items())


def test_a_weight_that_is_no_number_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fit_module.Fit._start

    def poisoned(self, linked):
        state = real(self, linked)
        with torch.no_grad():
            next(state.model.parameters())[0, 0] = float("nan")
        return state

    monkeypatch.setattr(fit_module.Fit, "_start", poisoned)
    with pytest.raises(GraphkitError, match="nan in epoch 1, batch 1"):
        trained(tmp_path)


def test_rates_and_gradient_norms_are_logged_and_decide_the_result(tmp_path: Path) -> None:
    constant, cosine, clipped = (
        trained(tmp_path / name, "hgnn.learning_rate=0.01", *more)
        for name, more in (
            ("constant", ("hgnn.schedule=constant",)),
            ("cosine", ("hgnn.schedule=cosine",)),
            ("clipped", ("hgnn.clip_norm=0.001",)),
        )
    )
    assert [record["learning_rate"] for record in training(constant)["epochs"]] == [0.01] * 4
    rates = [record["learning_rate"] for record in training(cosine)["epochs"]]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.0001)
    assert all(record["grad_norm"] > 0.001 for record in training(clipped)["epochs"])  # before clipping
    assert len({batch.manifest.space_id for batch in (constant, cosine, clipped)}) == 3  # a digest of the weights


def test_bfloat16_trains_on_a_cpu_when_asked(tmp_path: Path) -> None:
    quick = ("hgnn.epochs=8", "hgnn.learning_rate=0.01")
    full, half = (trained(tmp_path / p, *quick, f"hgnn.precision={p}") for p in ("auto", "bfloat16"))
    assert (full.manifest.metrics["precision"], half.manifest.metrics["precision"]) == ("float32", "bfloat16")
    log = training(half)
    assert log["epochs"][-1]["loss"] < 0.8 * log["epochs"][0]["loss"]
    first = [training(batch)["epochs"][0]["loss"] for batch in (full, half)]
    assert first[0] != first[1]
    assert first[0] == pytest.approx(first[1], rel=0.05)


def test_coverage_of_each_relation_is_what_was_really_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, set[tuple[int, int]]] = {}
    real = fit_module.Objective.loss

    def watched(self, model, batch, *rest):
        for relation, links in batch.items():
            seen.setdefault(relation.name, set()).update(pairs_of(links))
        return real(self, model, batch, *rest)

    monkeypatch.setattr(fit_module.Objective, "loss", watched)
    batch = trained(tmp_path, "hgnn.min_edges_per_relation=1", "hgnn.max_edges_per_relation=20", "hgnn.epochs=3")
    log = training(batch)["epochs"]
    final = batch.manifest.metrics["coverage"]
    assert final == log[-1]["coverage"]
    assert {name: round(len(pairs) / final[name], 6) for name, pairs in seen.items()} == links_to_train_on(tmp_path)
    assert all(a["coverage"][name] < b["coverage"][name] for a, b in itertools.pairwise(log) for name in final)


def links_to_train_on(root: Path) -> dict[str, int]:
    """Links of each relation of the current graph, less the tenth that is held out."""
    graph = to_tensors(read_graph(Workspace(root).current("graph"), FIT), CPU)
    return {relation.name: len(links) - int(0.1 * len(links)) for relation, links in find_links(graph).items()}


def test_the_reference_relation_sets_the_draw(tmp_path: Path) -> None:
    write_graph_batch(tmp_path, settings())
    available = links_to_train_on(tmp_path)
    chosen = ("hgnn.min_edges_per_relation=1", "hgnn.reference_relation=audiobook-podcast")
    log = training(train_hgnn(Workspace(tmp_path), settings(*chosen, "hgnn.epochs=1")))
    most = available["audiobook-podcast"]
    assert log["epochs"][0]["edges"] == {name: min(count, most) for name, count in available.items()}
    with pytest.raises(ConfigError, match="did you mean 'podcast-podcast'"):
        train_hgnn(Workspace(tmp_path), settings("hgnn.reference_relation=podcast-podcats"))


def write_graph(root: Path, links: dict, features: dict) -> None:
    sizes = {t: len(vectors) for t, vectors in features.items()}
    edges = both_directions(links, sizes)
    commit_graph(root, settings(), sizes, {FIT: edges, SERVE: edges}, features)


def test_a_graph_without_edges_is_refused(tmp_path: Path) -> None:
    write_graph(tmp_path, {("a", "a"): []}, {"a": np.ones((3, 2), dtype=np.float32)})
    with pytest.raises(DataError, match="no edges"):
        train_hgnn(Workspace(tmp_path), settings())


def test_an_empty_relation_beside_others_and_a_single_link_are_fine(tmp_path: Path) -> None:
    features = {t: np.eye(3, dtype=np.float32) for t in ("a", "p")}
    write_graph(tmp_path, {("a", "a"): [], ("a", "p"): [(0, 1)], ("p", "p"): []}, features)
    log = training(train_hgnn(Workspace(tmp_path), settings()))
    assert log["epochs"][0]["edges"] == {"a-p": 1}


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_a_type_without_a_relation_is_embedded_by_what_the_others_learned(tmp_path: Path, preset: str) -> None:
    """Podcasts have edges, audiobooks have none, and a homogeneous model embeds their texts (paper, table 1F)."""
    rng = np.random.default_rng(0)
    text = rng.standard_normal((30, 6)).astype(np.float32)
    pairs = [(int(i), int(j)) for i, j in rng.integers(20, size=(60, 2)) if i < j]
    write_graph(tmp_path, {("p", "p"): pairs}, {"a": text, "p": text})
    batch = train_hgnn(
        Workspace(tmp_path), settings("hgnn.shared_weights=true", "hgnn.text_neighbours=0", preset=preset)
    )
    z = load_vectors(batch.path("embeddings.safetensors"))
    assert np.array_equal(z["fit/a"][20:], z["fit/p"][20:])  # podcasts 20 to 29 have no edge either
    assert not np.allclose(z["fit/a"][:20], z["fit/p"][:20])


def test_text_vectors_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    features = {"a": np.array([[1.0, 0.0], [np.nan, 1.0]], dtype=np.float32)}
    write_graph(tmp_path, {("a", "a"): [(0, 1)]}, features)
    with pytest.raises(GraphkitError, match="item 1"):
        train_hgnn(Workspace(tmp_path), settings())


def test_a_finished_batch_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = trained(tmp_path)
    monkeypatch.setattr(fit_module.Fit, "run", lambda self: pytest.fail("trained again"))
    assert train_hgnn(Workspace(tmp_path), settings()).id == batch.id


def test_training_needs_neither_polars_nor_keras() -> None:
    program = (
        "import sys, graphkit.hgnn.train, graphkit.hgnn.neighbours_torch\n"
        "heavy = {'polars', 'pandas', 'scipy', 'sklearn', 'keras', 'tensorflow', 'dgl', 'pandera'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
