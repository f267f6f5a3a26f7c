"""The bundle's own README: what lies where, the user tower's signature, and how to use it without graphkit."""

from __future__ import annotations

from typing import Final

from graphkit import bundle_format as files
from graphkit.bundle_format import BundleMeta
from graphkit.user_features import FeatureSpec
from towers.bundle_plain import plain_programs

_TEXT: Final = """# {name}: serving bundle

Recommends {targets} to {num_users} users. This folder is all that serving needs:

```python
from graphkit import Bundle
bundle = Bundle.open("path/to/this/folder")
bundle.recommend("USER_ID", item_type="{first_target}", k=10).rows
bundle.similar("ITEM_ID", k=10).rows
```

| made from | id |
|---|---|
| data snapshot | {snapshot_id}, interactions before {cutoff} |
| item embeddings | {hgnn_space_id} |
| towers | {space_id} |

## Files
| file | holds |
|---|---|
| `{bundle_file}` | targets, index settings, ids: read this first |
| {index} |
| `{item_vectors}` | item tower outputs per target type, float32 [items, dim], L2-normalised |
| `{embeddings}` | HGNN embeddings per type, float32 [items, {embedding_dim}] |
{pooled_vectors}{input_vectors}| `{items}` | the catalogue: `item` is the row within its type in every tensor |
| `{users}` | `user_id`, sorted, and `user`, the row in every tensor |
| `{categorical}` | `categorical` int32 [users, features] |
| `{histories}` | what the tower pools: `<type>/<group>/indptr` and `/items`, oldest first{weights} |
| `{seen}` | all items a user has met, per type: edges lead from them, and they are left out of recommendations |
| `{edges}` | learned weights of co-listening edges per target type, for warm and for cold users, as CSR |
| `{adjacency}` | each item's heaviest co-listening neighbours per type, as CSR, heaviest first: for reasons |
| `{popularity}` | users who met an item in the last {popularity_days} days: the blend counts them |
| `{features}` | order of the pools, vocabularies of the categorical features |
| `{onnx}` | the user tower for onnxruntime |
| `{saved_model}/` | the same as a SavedModel (weights frozen into it, signature `serving_default`) |
| `{replay}` | what training gave a sample of users, under every pattern of missing features |
| `manifest.json` | sha256 of each file, settings, versions |

## Signature of the user tower
| tensor | dtype and shape | meaning |
|---|---|---|
| `pooled` (in) | float32 [batch, {pooled_dim}] | per pool: the mean {pooled_what} of its items{weighted}{count} |
| `categorical` (in) | int32 [batch, {num_features}] | {features_in_order}; 0 is unknown |
| `vectors` (in) | float32 [batch, {vectors_dim}] | {vectors_in_order}; a vector of zeros is unknown |
| `user_vector` (out) | float32 [batch, {dim}] | L2-normalised; its dot product with an item vector is the score |

Pools, in this order: {pools}.
Each takes {pool_columns} columns. An input that the tower does not read (of width 0 here) is in neither of its files.

## Without graphkit
Run in this folder, with the libraries that it imports:

```python
{by_onnx}```

With TensorFlow, over the whole catalogue:

```python
{by_tensorflow}```

Both rank by the towers alone. graphkit adds the edges' share, leaves out what the user has met, and gives unknown
users what is popular. `graphkit bundle verify .` proves that this folder gives what training gave.
"""

_INDEX: Final = {
    "annoy": "`index/<type>.ann` | Annoy, angular, dimension {dim}; search_k is `effort` in `{bundle_file}`",
    "voyager": "`index/<type>.voy` | Voyager, cosine, dimension {dim}; query_ef is `effort` in `{bundle_file}`",
    "faiss": "`index/<type>.faiss` | FAISS, inner product, dimension {dim}; `effort` in `{bundle_file}` is "
    "how many to re-score",
    "exact": "no index | all item vectors are scored",
}
_POOLED_VECTORS: Final = "| `{file}` | text vectors per type, which the user tower pools, float32 [items, {dim}] |\n"
_INPUT_VECTORS: Final = "| `{file}` | user vectors that the user tower reads, `<name>` float32 [users, dim] |\n"


def bundle_readme(meta: BundleMeta, spec: FeatureSpec, own_vectors: bool = False) -> str:
    """The README's text; ``own_vectors``: the user tower pools text vectors, not the HGNN's embeddings."""
    index = next(iter(meta.indexes.values()))
    pooled_vectors = files.POOLED_VECTORS_FILE if own_vectors else files.EMBEDDINGS_FILE
    by_onnx, by_tensorflow = plain_programs(meta, spec, pooled_vectors)
    return _TEXT.format(
        **meta.model_dump(
            include={"name", "num_users", "snapshot_id", "hgnn_space_id", "space_id", "popularity_days"}
        ),
        targets=", ".join(meta.targets),
        first_target=meta.targets[0],
        cutoff=meta.cutoff.isoformat() if meta.cutoff else "the end of the train split",
        index=_INDEX[index.kind].format(dim=index.dim + (index.longest is not None), bundle_file=files.BUNDLE_FILE),
        embedding_dim=meta.embedding_dim,
        dim=index.dim,
        pooled_dim=spec.pooled_dim,
        num_features=len(spec.categorical),
        features_in_order=", ".join(f"`{name}`" for name in spec.categorical) or "none here",
        pools=", ".join(f"`{pool.name}`" for pool in spec.pools) or "none here",
        weights=", and `/weights`" if spec.half_life_days else "",
        pool_columns=" + ".join(map(str, spec.pool_widths)),
        pooled_what="text vector" if own_vectors else "embedding",
        weighted=f", weighted: half for every {spec.half_life_days:g} days" if spec.half_life_days else "",
        count=", then log(1 + count)" if spec.counts else "",
        pooled_vectors=_POOLED_VECTORS.format(file=files.POOLED_VECTORS_FILE, dim=spec.embedding_dim)
        if own_vectors
        else "",
        input_vectors=_INPUT_VECTORS.format(file=files.INPUT_VECTORS_FILE) if spec.vectors else "",
        vectors_dim=spec.vectors_dim,
        vectors_in_order=", ".join(f"`{name}` ({one.dim})" for name, one in spec.vectors.items()) or "none here",
        bundle_file=files.BUNDLE_FILE,
        item_vectors=files.ITEM_VECTORS_FILE,
        embeddings=files.EMBEDDINGS_FILE,
        items=files.ITEMS_FILE,
        users=files.USERS_FILE,
        categorical=files.CATEGORICAL_FILE,
        histories=files.HISTORIES_FILE,
        seen=files.SEEN_FILE,
        edges=files.EDGES_FILE,
        adjacency=files.ADJACENCY_FILE,
        replay=files.REPLAY_FILE,
        by_onnx=by_onnx,
        by_tensorflow=by_tensorflow,
        popularity=files.POPULARITY_FILE,
        features=files.FEATURES_FILE,
        onnx=files.ONNX_FILE,
        saved_model=files.SAVED_MODEL_DIR,
    )
