"""The bundle without graphkit: programs for the bundle's README, from a user id to the ids of ten items."""

from __future__ import annotations

from typing import Final

from graphkit import bundle_format as files
from graphkit.bundle_format import BundleMeta, IndexMeta
from graphkit.histories import Pool
from graphkit.indexes.annoy import AnnoyForest
from graphkit.user_features import FeatureSpec
from towers.frozen import OUTPUT, SIGNATURE

_USER: Final = """import {imports}, polars as pl
from safetensors.numpy import load_file

user = pl.read_parquet("{users}").filter(user_id="USER_ID")["user"].item()
"""
#: Per pool the vectors of the user's items, then what the tower takes of them.
_POOLED: Final = """met, vectors = load_file("{histories}"), load_file("{pooled_vectors}")
pools = [{pools}]
met = [vectors[t][met[f"{{t}}/{{g}}/items"][slice(*met[f"{{t}}/{{g}}/indptr"][user : user + 2])]] for t, g in pools]
pooled = np.concatenate([[*m.sum(0) / max(1, len(m)){count}] for m in met]).astype("float32")[None]
"""
#: The same where the items of a pool weigh differently.
_WEIGHTED: Final = """met, vectors = load_file("{histories}"), load_file("{pooled_vectors}")
pooled = []
for pool in [{pools}]:
    mine = slice(*met[f"{{pool}}/indptr"][user : user + 2])
    m = vectors[pool.rpartition("/")[0]][met[f"{{pool}}/items"][mine]]
    w = met[f"{{pool}}/weights"][mine] if f"{{pool}}/weights" in met else np.ones(len(m))
    pooled += [*w @ m / (w.sum() or 1){count}]
pooled = np.array([pooled], "float32")
"""
_NOTHING_POOLED: Final = """pooled = np.zeros((1, 0), "float32")
"""
_INPUTS: Final = """inputs = {{"pooled": pooled, "categorical": load_file("{categorical}")["categorical"][[user]]}}
"""
_VECTORS: Final = """vectors = load_file("{input_vectors}")
inputs["vectors"] = np.concatenate([vectors[name][user] for name in [{names_of_vectors}]])[None]
"""
_ONNX: Final = """tower = onnxruntime.InferenceSession("{onnx}")
vector = tower.run(None, {{end.name: inputs[end.name] for end in tower.get_inputs()}})[0][0]
"""
_SAVED_MODEL: Final = """tower = tf.saved_model.load("{saved_model}").signatures["{signature}"]
read = {{name: tf.constant(inputs[name]) for name in tower.structured_input_signature[1]}}
vector = tower(**read)["{output}"].numpy()[0]
"""
_INDEX: Final = {
    "annoy": """index = annoy.AnnoyIndex({width}, "angular")
index.load("{index}")
best = index.get_nns_by_vector({query}, 10, search_k={effort})
""",
    "voyager": """index = voyager.Index.load("{index}")
best = index.query(np.float32({query}), 10, query_ef={effort})[0].tolist()
""",
    "faiss": """index = faiss.read_index("{index}")
index.nprobe = {lists}
near = index.search(np.float32([{query}]), {effort})[1][0]
best = near[np.argsort(-load_file("{item_vectors}")["{target}"][near] @ vector)[:10]].tolist()
""",
    "exact": """best = np.argsort(-load_file("{item_vectors}")["{target}"] @ vector)[:10].tolist()
""",
}
_IDS: Final = """items = pl.read_parquet("{items}").filter(item_type="{target}").sort("item")
print(items["item_id"][best].to_list())
"""


def plain_programs(meta: BundleMeta, spec: FeatureSpec, pooled_vectors: str) -> tuple[str, str]:
    """Two programs for the first target type that run in the bundle's folder: by onnxruntime and the index, and by
    TensorFlow over the whole catalogue. ``pooled_vectors`` is the file of the item vectors that the tower pools."""
    index = meta.indexes[meta.targets[0]]
    names = {
        "users": files.USERS_FILE,
        "categorical": files.CATEGORICAL_FILE,
        "histories": files.HISTORIES_FILE,
        "pooled_vectors": pooled_vectors,
        "pools": ", ".join(_quoted(pool, spec) for pool in spec.pools),
        "input_vectors": files.INPUT_VECTORS_FILE,
        "names_of_vectors": ", ".join(f'"{name}"' for name in spec.vectors),
        "count": ", np.log1p(len(m))" if spec.counts else "",
        "onnx": files.ONNX_FILE,
        "saved_model": files.SAVED_MODEL_DIR,
        "signature": SIGNATURE,
        "output": OUTPUT,
        "index": index.file,
        "width": index.dim + (index.longest is not None),
        "query": "vector" if index.longest is None else "[*vector, 0]",
        "effort": _effort(index),
        "lists": _lists(index),
        "item_vectors": files.ITEM_VECTORS_FILE,
        "items": files.ITEMS_FILE,
        "target": meta.targets[0],
    }
    library = "" if index.kind == "exact" else f"{index.kind}, "
    means = _WEIGHTED if spec.half_life_days else _POOLED
    inputs = (_USER, means if spec.pools else _NOTHING_POOLED, _INPUTS, *([_VECTORS] if spec.vectors else []))
    by_index = (*inputs, _ONNX, _INDEX[index.kind], _IDS)
    by_tensorflow = (*inputs, _SAVED_MODEL, _INDEX["exact"], _IDS)
    return (
        "".join(by_index).format(imports=f"{library}numpy as np, onnxruntime", **names),
        "".join(by_tensorflow).format(imports="numpy as np, tensorflow as tf", **names),
    )


def _quoted(pool: Pool, spec: FeatureSpec) -> str:
    return f'"{pool.name}"' if spec.half_life_days else f'("{pool.item_type}", "{pool.group}")'


def _lists(index: IndexMeta) -> int:
    """The lists that FAISS looks through, 0 for the other kinds, whose users need not load it."""
    if index.kind != "faiss":
        return 0
    from graphkit.indexes.faiss import lists_for

    return lists_for(_effort(index), index.num_items)


def _effort(index: IndexMeta) -> int:
    """What a search may spend; where graphkit would score every item (``ItemIndex``), enough to look at all."""
    if index.kind == "faiss":
        return min(index.effort, index.num_items)
    small = index.kind == "annoy" and AnnoyForest.looks_at(index.effort) >= index.num_items
    return 1000 * index.num_items if small else index.effort
