"""Export: everything that serving needs, in one folder, checked against what training computed."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from graphkit import bundle_format as files
from graphkit import schemas
from graphkit.artefacts import Batch, StageSpec, StageWork, Workspace
from graphkit.blend.weights import blend_weights
from graphkit.bundle_format import BundleMeta, IndexMeta
from graphkit.config import Config
from graphkit.config.sections import ExportSection
from graphkit.config.towers import TowersSection
from graphkit.datasets.histories import read_histories
from graphkit.datasets.popularity import users_met
from graphkit.datasets.store import Dataset
from graphkit.errors import ArtefactError, ConfigError
from graphkit.graph.adjacency import co_listening_neighbours
from graphkit.graph.store import SERVE
from graphkit.histories import STRONG, save_histories
from graphkit.indexes.store import make_index
from graphkit.serving.bundle import onnx_tower
from graphkit.user_features import FeatureSpec, UserFeatures
from graphkit.user_vectors import known_vectors
from graphkit.vectors import Vectors, load_vectors, save_vectors
from towers.bundle_readme import bundle_readme
from towers.frozen import save_onnx, save_saved_model
from towers.proof import same_vectors, tower_vectors
from towers.replay import Replay
from towers.user_spec import user_features
from towers.verify import RECALL_USERS, saved_model_tower


@dataclass(frozen=True)
class Sources:
    """What a bundle is made from, read and checked to fit together."""

    dataset: Dataset
    towers: Batch
    hgnn: Batch
    edges: Batch
    graph: Batch
    blend: Batch | None
    features: UserFeatures
    embeddings: Vectors  # of the HGNN, per type [num_items, dim]
    item_vectors: Vectors  # per target type [num_items, dim]
    replay: Replay


def export_bundle(workspace: Workspace, config: Config) -> Batch:
    """Write the serving bundle of the current towers and return its batch (stage ``bundle``).

    Raises ArtefactError where dataset, embeddings and towers do not belong together, and GraphkitError where
    the exported user tower does not give the vectors that training gave.
    """
    upstream = workspace.upstream("bundle")
    spec = StageSpec.of("bundle", config, upstream.values())
    if (done := workspace.finished(spec)) is not None:
        return done
    _require_tensorflow()
    sources = read_sources(upstream)
    with workspace.begin(spec) as work:
        meta = _describe(sources, config, _write_indexes(work, sources, config.export))
        _write_tables(work, sources, meta)
        _write_adjacency(work, sources, config.export.neighbours)
        save_vectors(work.path(files.EMBEDDINGS_FILE), sources.embeddings)
        _take_over(work, sources)
        _write_user_tower(work, sources)
        work.path(files.BUNDLE_FILE).write_text(meta.model_dump_json(indent=1) + "\n", encoding="utf-8")
        readme = bundle_readme(meta, sources.features.spec, sources.features.embeddings is not sources.embeddings)
        work.path(files.README_FILE).write_text(readme, encoding="utf-8")
        work.space_id = meta.space_id
        work.metrics["hgnn_space_id"] = meta.hgnn_space_id
        work.data_window = {"end": meta.cutoff.isoformat() if meta.cutoff else None}
        work.row_counts = {"users": meta.num_users} | meta.num_items
        return work.commit()


def read_sources(upstream: dict[str, Batch]) -> Sources:
    """Open the dataset, hgnn and towers batches; raises ArtefactError where spaces or sizes do not fit."""
    dataset, hgnn, towers = Dataset.open(upstream["dataset"]), upstream["hgnn"], upstream["towers"]
    _require_one_space(towers, hgnn)
    spec = FeatureSpec.model_validate_json(towers.path(files.FEATURES_FILE).read_bytes())
    stored = load_vectors(hgnn.path(files.EMBEDDINGS_FILE))
    embeddings = {name: stored[f"{SERVE}/{name}"] for name in dataset.meta.types}
    item_vectors = load_vectors(towers.path(files.ITEM_VECTORS_FILE))
    # Towers that pool other vectors than the HGNN's keep them, so that they are served what they were trained on.
    own = files.POOLED_VECTORS_FILE in towers.manifest.files
    pooled = load_vectors(towers.path(files.POOLED_VECTORS_FILE)) if own else embeddings
    num_items = dataset.meta.num_items
    rows = {f"embeddings of {name}": (hgnn, matrix, num_items[name]) for name, matrix in embeddings.items()}
    rows |= {f"pooled vectors of {name}": (towers, pooled[name], num_items[name]) for name in embeddings}
    rows |= {f"vectors of {t}": (towers, m, num_items[t]) for t, m in item_vectors.items()}
    read = load_vectors(towers.path(files.INPUT_VECTORS_FILE)) if spec.vectors else {}
    rows |= {f"user vectors {name}": (towers, matrix, dataset.meta.num_users) for name, matrix in read.items()}
    for what, (batch, matrix, wanted) in rows.items():
        _require_rows(what, batch, matrix, wanted)
    # As the towers were trained, whatever the configuration says by now.
    settings = TowersSection.model_validate(towers.manifest.settings["towers"])
    vectors = tuple(known_vectors(name, read[name]) for name in spec.vectors)
    features = user_features(dataset, spec, pooled, dataset.meta.cutoff, settings, vectors)
    replay = Replay.open(towers.path(files.REPLAY_FILE), spec, tuple(item_vectors))
    edges, graph, blend = upstream["edges"], upstream["graph"], upstream.get("blend")
    return Sources(dataset, towers, hgnn, edges, graph, blend, features, embeddings, item_vectors, replay)


def _require_tensorflow() -> None:
    from towers.backend import keras

    if keras.backend.backend() != "tensorflow":
        raise ConfigError(
            "the user tower is exported under Keras's TensorFlow back end alone",
            expected="KERAS_BACKEND=tensorflow, or not set",
            found=f"KERAS_BACKEND={keras.backend.backend()}",
            fix="run `graphkit export` without KERAS_BACKEND: it reads towers of either back end",
        )


def _require_one_space(towers: Batch, hgnn: Batch) -> None:
    trained_on = towers.manifest.metrics.get("hgnn_space_id")
    if trained_on != hgnn.manifest.space_id:
        raise ArtefactError(
            "the towers were trained on embeddings of another space than the current ones",
            where=str(towers.folder),
            expected=f"embeddings of space {trained_on}",
            found=f"hgnn batch {hgnn.id} of space {hgnn.manifest.space_id}",
            fix="run `graphkit train-towers` again",
        )


def _require_rows(what: str, batch: Batch, matrix: npt.NDArray[np.float32], wanted: int) -> None:
    if len(matrix) != wanted:
        raise ArtefactError(
            f"the {what} do not belong to the current dataset",
            where=str(batch.folder),
            expected=f"{wanted} rows",
            found=f"{len(matrix)} rows",
            fix=f"run `graphkit train-{batch.manifest.stage}` again",
        )


def _describe(sources: Sources, config: Config, indexes: dict[str, IndexMeta]) -> BundleMeta:
    meta, weights = sources.dataset.meta, blend_weights(config.blend, sources.dataset, sources.blend)
    return BundleMeta(
        name=meta.name,
        types=meta.types,
        targets=tuple(indexes),
        indexes=indexes,
        embedding_dim=next(iter(sources.embeddings.values())).shape[1],
        num_users=meta.num_users,
        num_items=meta.num_items,
        cutoff=meta.cutoff,
        popularity_days=config.blend.popularity_days,
        towers_weight=dict(weights.towers),
        popularity_weight=dict(weights.popularity),
        space_id=sources.towers.manifest.space_id or sources.towers.id,
        hgnn_space_id=sources.hgnn.manifest.space_id or sources.hgnn.id,
        snapshot_id=sources.dataset.batch.manifest.snapshot_id,
    )


def _write_tables(work: StageWork, sources: Sources, meta: BundleMeta) -> None:
    texts = (schemas.TITLE, schemas.LANGUAGE, schemas.GENRE, schemas.CREATOR)
    items = sources.dataset.items().select(schemas.ITEM_TYPE, schemas.ITEM, schemas.ITEM_ID, *texts)
    items.write_parquet(work.path(files.ITEMS_FILE))
    users = sources.dataset.users().select(schemas.USER_ID, schemas.USER).sort(schemas.USER_ID)
    users.write_parquet(work.path(files.USERS_FILE))
    save_file({files.CATEGORICAL: sources.features.categorical}, work.path(files.CATEGORICAL_FILE))
    pooled = {pool: sources.features.histories[pool] for pool in sources.features.spec.pools}
    save_histories(work.path(files.HISTORIES_FILE), pooled)
    everything = read_histories(sources.dataset, sources.dataset.meta.cutoff)
    seen = {p: h for p, h in everything.items() if p.group == STRONG}
    save_histories(work.path(files.SEEN_FILE), seen)
    dataset = sources.dataset
    counts = {t: users_met(dataset, t, dataset.meta.cutoff, meta.popularity_days) for t in meta.targets}
    save_file(counts, work.path(files.POPULARITY_FILE))


def _write_adjacency(work: StageWork, sources: Sources, most: int) -> None:
    tensors: dict[str, npt.NDArray[Any]] = {}
    found = co_listening_neighbours(sources.graph, SERVE, most, work.spec.seed)
    for (item_type, neighbours), csr in found.items():
        name = f"{item_type}/{neighbours}"
        tensors |= {f"{name}/indptr": csr.indptr, f"{name}/indices": csr.indices, f"{name}/weights": csr.weight}
    save_file(tensors, work.path(files.ADJACENCY_FILE))


def _take_over(work: StageWork, sources: Sources) -> None:
    """Copy the files that the bundle holds as their stage wrote them; some there are only where they are read."""
    towers = sources.towers
    read = [file for file in (files.POOLED_VECTORS_FILE, files.INPUT_VECTORS_FILE) if file in towers.manifest.files]
    for file in (files.FEATURES_FILE, files.REPLAY_FILE, files.ITEM_VECTORS_FILE, *read):
        shutil.copyfile(towers.path(file), work.path(file))
    shutil.copyfile(sources.edges.path(files.EDGES_FILE), work.path(files.EDGES_FILE))


def _write_user_tower(work: StageWork, sources: Sources) -> None:
    from towers.two_tower import load_user_tower

    model: Any = load_user_tower(sources.towers)
    save_onnx(model, work.path(files.ONNX_FILE))
    save_saved_model(model, work.path(files.SAVED_MODEL_DIR))
    worst = []
    for what, path, load in (
        ("user tower, ONNX", work.path(files.ONNX_FILE), onnx_tower),
        ("user tower, SavedModel", work.path(files.SAVED_MODEL_DIR), saved_model_tower),
    ):
        found = same_vectors(what, tower_vectors(load(path), sources.features, sources.replay), sources.replay)
        worst.append(found.require(str(path)).worst or 0.0)
    work.metrics["user_vector_max_difference"] = max(worst)


def _write_indexes(work: StageWork, sources: Sources, export: ExportSection) -> dict[str, IndexMeta]:
    seed = work.spec.seed
    queries = sources.replay.vectors[0][:RECALL_USERS]
    indexes = {
        name: make_index(
            work.folder, name, export.index, sources.item_vectors[name], queries, export.recall, export.trees, seed
        )
        for name in sources.dataset.meta.targets
        if name in sources.item_vectors
    }
    work.metrics["index_recall_at_100"] = {name: about.recall for name, about in indexes.items()}
    work.metrics["index_effort"] = {name: about.effort for name, about in indexes.items()}
    return indexes
