"""The rows of the table: peers fitted with their tuned settings, and trained models read back from their batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Final

from graphkit.artefacts import Batch
from graphkit.blend.popular import popular_parts
from graphkit.blend.scorer import Blend
from graphkit.blend.weights import BlendWeights, blend_weights
from graphkit.config import Config
from graphkit.datasets.store import Dataset
from graphkit.edge_weights.scorer import EdgeScorer
from graphkit.edge_weights.stage import read_edges
from graphkit.errors import ConfigError, did_you_mean
from graphkit.evaluation.entries import Entry, Part
from graphkit.evaluation.peers.popularity import recent_popularity
from graphkit.evaluation.peers.train_data import history_matrices
from graphkit.evaluation.peers.tuned import TunedPeer, left_out_peers, tuned_peers
from graphkit.evaluation.recommender import Floats, Recommender
from graphkit.evaluation.vector_models import DotProduct, MeanOfHistory
from graphkit.graph.store import FEATURES_FILE, SERVE, USER_NODE
from graphkit.parallel import thread_count
from graphkit.stages import STAGES
from graphkit.variants.overlays import BASE, GROUPS, read_variants
from graphkit.variants.runs import VariantRun
from graphkit.vectors import EMBEDDINGS_FILE, ITEM_VECTORS_FILE, USER_VECTORS_FILE, Vectors, load_vectors

OURS: Final = "2T-HGNN"
EDGES: Final = "Edge weights"
BLEND: Final = "2T-HGNN + edges"
HGNN: Final = "HGNN"
TEXT_KNN: Final = "LLM-KNN"


@dataclass
class Models:
    """The table's rows in its order, and why any other row is not there."""

    entries: list[Entry] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def read_models(
    dataset: Dataset, upstream: Mapping[str, Batch], runs: Sequence[VariantRun], config: Config
) -> Models:
    """Every model that there is, from the simplest peer to ours; all know train rows only.

    ``upstream`` holds the batch of ``peers``, and of ``graph``, ``hgnn`` and ``towers`` as far as they are there;
    ``runs`` are trained variants. Raises ConfigError where ``evaluation.models`` names a row that is not there.
    """
    found = Models()
    _add_peers(found, dataset, upstream["peers"], config)
    histories = history_matrices(dataset) if {"graph", "hgnn"} & upstream.keys() else {}
    mean = "cosine with the mean {} vector of the user's items of every type, strong and weak signals"
    if "graph" in upstream:
        text = partial(_text_knn, histories, upstream["graph"])
        found.entries.append(Entry(TEXT_KNN, mean.format("text") + ": text-kNN", ((Part(text),),)))
    again = [run for run in runs if run.variant.name == BASE]
    if "hgnn" in upstream:
        batches = [upstream["hgnn"], *(run.workspace.peek("hgnn") for run in again)]
        loads = [partial(_mean_hgnn, histories, batch, dataset) for batch in batches]
        found.entries.append(Entry(HGNN, mean.format("HGNN"), _runs(loads), trained=True))
    _add_variants(found, runs, dataset)
    if "towers" in upstream:
        folders = [upstream["towers"].folder, *(run.workspace.peek("towers").folder for run in again)]
        loads = [partial(_two_tower, OURS, folder) for folder in folders]
        found.entries.append(
            Entry(OURS, "dot product of the user tower and the item tower", _runs(loads), trained=True)
        )
    if "edges" in upstream:
        _add_edges(found, dataset, upstream, config)
    for name, stage in ((TEXT_KNN, "graph"), (HGNN, "hgnn"), (OURS, "towers"), (EDGES, "edges")):
        if stage not in upstream:
            found.left_out[name] = _not_made(stage)
    if missing := [stage for stage in ("towers", "edges") if stage not in upstream]:
        found.left_out[BLEND] = "; ".join(map(_not_made, missing))
    return _chosen(found, config.evaluation.models)


def _not_made(stage: str) -> str:
    return f"there is no {stage} yet: run `{STAGES[stage].command}`"


def serve_embeddings(hgnn: Batch, dataset: Dataset) -> Vectors:
    """The HGNN's item embeddings as of the cut-off: per item type float32 [num_items, dim]."""
    vectors = load_vectors(hgnn.path(EMBEDDINGS_FILE))
    return {item_type: vectors[f"{SERVE}/{item_type}"] for item_type in dataset.meta.types}


def _add_peers(found: Models, dataset: Dataset, peers: Batch, config: Config) -> None:
    """The paper's popularity of the last days, and every peer that was tuned."""
    recent = recent_popularity(dataset, config.evaluation.popularity_days)
    for peer in tuned_peers(dataset, peers, config.run.seed, thread_count(config.run.threads)):
        found.entries.append(Entry(peer.name, peer.what, (_peer_parts(peer),)))
    if recent is not None:
        what = f"how many users met the item in the last {config.evaluation.popularity_days} days before the cut-off"
        found.entries.insert(min(1, len(found.entries)), Entry(recent.name, what, ((Part(lambda: recent),),)))
    found.left_out |= left_out_peers(peers)


def _peer_parts(peer: TunedPeer) -> tuple[Part, ...]:
    return tuple(Part(partial(peer.fit, setting), frozenset(cells)) for setting, cells in peer.fits)


def _add_variants(found: Models, runs: Sequence[VariantRun], dataset: Dataset) -> None:
    """A row per trained variant, over all of its seeds."""
    for variant in read_variants().values():
        mine = [run for run in runs if run.variant.name == variant.name != BASE]
        if mine:
            loads = [partial(_variant, run, dataset) for run in mine]
            found.entries.append(Entry(variant.label, variant.what, _runs(loads), trained=True))
        elif variant.name in GROUPS["baselines"] and variant.name != BASE:
            found.left_out[variant.label] = f"not trained from what is current: run `graphkit ablate {variant.name}`"


def _add_edges(found: Models, dataset: Dataset, upstream: Mapping[str, Batch], config: Config) -> None:
    """The edges alone, and what the bundle serves: their blend with the towers, run by run."""
    load = cache(partial(read_edges, upstream["edges"], dataset))
    towers = next((entry for entry in found.entries if entry.name == OURS), None)
    what = "summed learned weights of the co-listening edges from the user's strong items"
    entry = Entry(EDGES, what, ((Part(load),),), trained=True)
    found.entries.insert(len(found.entries) - (towers is not None), entry)
    if towers is None:
        return
    weights = blend_weights(config.blend, dataset, upstream.get("blend"))
    popular = cache(partial(popular_parts, dataset, config.blend.popularity_days))
    runs = tuple((Part(partial(_blend, load, part.load, popular, weights)),) for (part,) in towers.runs)
    what = f"the scores of both in spreads over the catalogue; the towers weigh: {_listed(weights.towers)}"
    if any(weights.popularity.values()):
        what += f"; and what is popular lately, which weighs: {_listed(weights.popularity)}"
    found.entries.append(Entry(BLEND, what, runs, trained=True))


def _listed(weights: Mapping[str, float]) -> str:
    return ", ".join(f"{cell} {value:g}" for cell, value in weights.items())


def _blend(
    edges: Callable[[], EdgeScorer],
    towers: Callable[[], Recommender],
    popular: Callable[[], Mapping[str, Floats]],
    weights: BlendWeights,
) -> Recommender:
    return Blend(BLEND, edges(), towers(), popular(), weights)


def _variant(run: VariantRun, dataset: Dataset) -> Recommender:
    """The towers' scores; of the graph with users as nodes, the dot product of user and item embedding."""
    if run.stages[-1] == "towers":
        return _two_tower(run.variant.label, run.workspace.peek("towers").folder)
    hgnn = run.workspace.peek("hgnn")
    users = load_vectors(hgnn.path(EMBEDDINGS_FILE))[f"{SERVE}/{USER_NODE}"]
    return DotProduct(run.variant.label, users, serve_embeddings(hgnn, dataset))


def _text_knn(histories: Mapping[str, object], graph: Batch) -> Recommender:
    return MeanOfHistory(TEXT_KNN, dict(histories), load_vectors(graph.path(FEATURES_FILE)))


def _mean_hgnn(histories: Mapping[str, object], hgnn: Batch, dataset: Dataset) -> Recommender:
    return MeanOfHistory(HGNN, dict(histories), serve_embeddings(hgnn, dataset))


def _two_tower(name: str, folder: Path) -> Recommender:
    users = load_vectors(folder / USER_VECTORS_FILE)["user"]
    return DotProduct(name, users, load_vectors(folder / ITEM_VECTORS_FILE))


def _runs(loads: Sequence[partial[Recommender]]) -> tuple[tuple[Part, ...], ...]:
    return tuple((Part(load),) for load in loads)


def _chosen(found: Models, names: Sequence[str] | None) -> Models:
    if names is None:
        return found
    there = {entry.name: entry for entry in found.entries}
    for name in names:
        if name not in there:
            why = found.left_out.get(name)
            raise ConfigError(
                f"evaluation.models: no model {name!r} in this workspace",
                expected=did_you_mean(name, there),
                found=why,
            )
    return Models([entry for entry in found.entries if entry.name in names], found.left_out)
