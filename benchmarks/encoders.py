"""The user encoders: how fast, which collaborative vectors, and how the loss of CLUE falls with computing.

    python benchmarks/encoders.py speed ENCODED --logs LOGS --users 1000000
    python benchmarks/encoders.py modalities WORKSPACE
    python benchmarks/encoders.py scaling WORKSPACE

``speed``: the autoencoder of the workspace ENCODED encodes a million ready feature rows, and single users, whose
events are aggregated or whose rows are ready. LOGS is a workspace with a dataset of as many users; its logs are
aggregated into feature rows with random item vectors of the same width (the time does not depend on their values).

``modalities``: baskets (playlists, sessions) of a dataset are split 90 to 10; item vectors are learned from the nine
parts, by a factorised positive PMI and by word2vec (gensim's skip-gram, `pip install gensim`), and each held-out
basket's items are ranked by their cosine with one item of it.

``scaling``: the runs of the workspace's ``graphkit encoder-scaling``, each with what the law says of its computing.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from record import record

from graphkit.artefacts import Workspace
from graphkit.config import load_config
from graphkit.datasets.store import Dataset
from graphkit.power_law import fit_power_law
from towers import UserEncoder
from towers.encoders.autoencoder.cooccurrence import Together, pair_counts, read_baskets
from towers.encoders.autoencoder.features import ItemTable, feature_rows
from towers.encoders.autoencoder.modalities import Modalities, collaborative_vectors
from towers.encoders.source import BLOCK_USERS, Source

CORES, ONE_BY_ONE, WARM_UP = 2, 1000, 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    fast = parts.add_parser("speed")
    fast.add_argument("workspace", type=Path)
    fast.add_argument("--logs", type=Path, required=True)
    fast.add_argument("--users", type=int, default=1_000_000)
    vectors = parts.add_parser("modalities")
    vectors.add_argument("workspace", type=Path)
    vectors.add_argument("--seeds", type=int, default=3)
    laws = parts.add_parser("scaling")
    laws.add_argument("workspace", type=Path)
    laws.add_argument("--note", help="kept beside the result, such as the device of runs that another machine made")
    options = parser.parse_args()
    if options.part == "speed":
        speed(options.workspace, options.logs, options.users)
    elif options.part == "modalities":
        modalities(options.workspace, options.seeds)
    else:
        scaling(options.workspace, options.note)


def speed(encoded: Path, logs: Path, users: int) -> None:
    """Seconds of a million users on two cores; milliseconds of one on one core."""
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores[:1])
    alone = UserEncoder.current(Workspace(encoded), "autoencoder")
    source = Source(Dataset.current(Workspace(encoded)), {})
    rows = np.concatenate(
        [feature_rows(block, alone.model.spec, alone.model.items) for block in source.blocks(source.moments[-1])]
    )
    ready = milliseconds(lambda n: alone.model.encode_rows(rows[n % len(rows)][None]))
    events, profiles = by_ids(source)
    moment = source.moments[-1].before
    ids = profiles["user_id"].to_list()[:200]
    own = [(events[user_id], profiles.filter(pl.col("user_id") == user_id)) for user_id in ids if user_id in events]
    whole = milliseconds(lambda n: alone.encode(*own[n % len(own)], as_of=moment), 200)
    os.sched_setaffinity(0, cores)
    together = UserEncoder.current(Workspace(encoded), "autoencoder").model
    block = np.resize(rows, (BLOCK_USERS, rows.shape[1]))
    together.encode_rows(block)
    watch = Watch()
    for _ in range(-(-users // BLOCK_USERS)):
        together.encode_rows(block)
    encoding = watch.read()
    aggregating = aggregate(logs, together.spec)
    rows_out = [
        {"what": f"encode {users:,} ready rows of {rows.shape[1]:,}, two cores", **encoding},
        {"what": aggregating.pop("what"), **aggregating},
        {"what": "one ready row, one core", **ready},
        {"what": "one user by id with all events, one core", **whole},
    ]
    columns = ("what", "seconds", "cpu_seconds", "p50_ms", "p99_ms")
    rows_out = [{name: row.get(name, "-") for name in columns} for row in rows_out]
    record("encoders_speed", rows_out, workspace=encoded.name, logs=logs.name)


def scaling(workspace: Path, note: str | None) -> None:
    """Every run of the ladder, and the factors held back, against the law that all but the largest make."""
    batch = Workspace(workspace).current("encoder-scaling")
    found = json.loads(batch.path("scaling.json").read_text(encoding="utf-8"))
    ladder = [run for run in found["runs"] if run["held_back"] == "nothing"][:-1]
    law = fit_power_law([run["pf_days"] for run in ladder], [run["test_loss"] for run in ladder])
    rows = []
    for run in found["runs"]:
        said = law.predict(run["pf_days"])
        rows.append(
            {
                name: run[name]
                for name in ("held_back", "dim", "layers", "max_behaviours", "batch_size", "train_users")
            }
            | {
                "parameters": run["parameters"],
                "pf_days": f"{run['pf_days']:.2e}",
                "loss": round(run["test_loss"], 3),
            }
            | {"law": f"{said.value:.3f} ({said.low:.3f} to {said.high:.3f})", "seconds": run["seconds"]}
        )
    about = {name: found[name] for name in ("decades", "exponent", "r_squared", "largest_within")}
    record("encoder_scaling", rows, workspace=workspace.name, note=note, **about)


class Watch:
    """Wall and processor seconds: on a machine with other work the second tells what it would take alone."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return {"seconds": round(wall, 1), "cpu_seconds": round(cpu, 1)}


def milliseconds(call: Any, count: int = ONE_BY_ONE) -> dict[str, float]:
    """Percentiles of ``call(n)``, after some unmeasured ones."""
    taken = []
    for n in range(WARM_UP + count):
        started = time.perf_counter()
        call(n)
        taken.append(1000 * (time.perf_counter() - started))
    return {f"p{q}_ms": round(float(np.percentile(taken[WARM_UP:], q)), 3) for q in (50, 99)}


def by_ids(source: Source) -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
    """Each user's events with external ids, and all profiles."""
    users = source.dataset.users()
    rows = source.log(source.moments[-1]).collect().join(source.catalogue, on=["item_type", "item"])
    named = rows.join(users.select("user", "user_id"), on="user")
    return {str(name): frame for (name,), frame in named.partition_by("user_id", as_dict=True).items()}, users


def aggregate(logs: Path, spec: Any) -> dict[str, Any]:
    """Reading and aggregating every user's log into feature rows, as of the cut-off."""
    source, rng = Source(Dataset.current(Workspace(logs)), {}), np.random.default_rng(0)
    vectors = {
        name: {t: rng.normal(size=(n, width)).astype(np.float32) for t, n in source.dataset.meta.num_items.items()}
        for name, width in spec.modalities.items()
    }
    items, count = ItemTable.of(Modalities(vectors), spec.types), 0
    watch = Watch()
    for block in source.blocks(source.moments[-1]):
        count += len(feature_rows(block, spec, items))
    took = watch.read()
    log_rows = source.log(source.moments[-1]).select(pl.len()).collect().item()
    return {"what": f"aggregate the logs of {count:,} users, {log_rows:,} rows", **took}


def modalities(workspace: Path, seeds: int) -> None:
    """HR@100 and MRR of held-out baskets."""
    source, settings = Source(Dataset.current(Workspace(workspace)), {}), load_config("default").autoencoder
    baskets, rows = read_baskets(source, settings), []
    for seed in range(seeds):
        held = np.random.default_rng(seed).random(baskets.shape[0]) < 0.1
        learned, test = baskets[np.flatnonzero(~held)], baskets[np.flatnonzero(held)]
        for name, learn in {"positive PMI, SVD": by_pmi, "word2vec, skip-gram": by_word2vec}.items():
            started = time.perf_counter()
            vectors = learn(learned, settings.modality_dim, seed)
            seconds = time.perf_counter() - started
            figures = ranked(vectors, test, seed)
            rows.append({"vectors": name, "seed": seed, **figures, "seconds": round(seconds, 1)})
    record("encoders_modalities", rows, workspace=workspace.name, baskets=int(baskets.shape[0]))


def by_pmi(baskets: Any, dim: int, seed: int) -> np.ndarray:
    together = Together(pair_counts(baskets), {})
    return collaborative_vectors(together, {"item": baskets.shape[1]}, dim, seed)["item"]


def by_word2vec(baskets: Any, dim: int, seed: int) -> np.ndarray:
    """Baskets as sentences in random order, one thread for the sake of its seed."""
    from gensim.models import Word2Vec

    rng = np.random.default_rng(seed)
    pieces = (baskets.indices[a:b] for a, b in zip(baskets.indptr[:-1], baskets.indptr[1:], strict=True))
    sentences = [[str(item) for item in rng.permutation(piece)] for piece in pieces]
    settings = {"sg": 1, "window": 10, "negative": 10, "min_count": 1, "epochs": 20, "sample": 1e-3}
    model = Word2Vec(sentences, vector_size=dim, seed=seed, workers=1, **settings)
    vectors = np.zeros((baskets.shape[1], dim), np.float32)
    for word, place in model.wv.key_to_index.items():
        vectors[int(word)] = model.wv.vectors[place]
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def ranked(vectors: np.ndarray, baskets: Any, seed: int, most: int = 3000) -> dict[str, float]:
    """One ordered pair of each held-out basket, at most 3,000: where the second item stands from the first's."""
    rng, ranks = np.random.default_rng([seed, 1]), []
    for basket in rng.permutation(baskets.shape[0])[:most]:
        first, second = rng.permutation(baskets.indices[baskets.indptr[basket] : baskets.indptr[basket + 1]])[:2]
        scores = vectors @ vectors[first]
        scores[first] = -np.inf
        ranks.append(1 + int((scores > scores[second]).sum()) + int((scores == scores[second]).sum() - 1) // 2)
    return {
        "HR@10": round(float(np.mean(np.array(ranks) <= 10)), 4),
        "HR@100": round(float(np.mean(np.array(ranks) <= 100)), 4),
        "MRR": round(float(np.mean(1 / np.array(ranks))), 4),
    }


if __name__ == "__main__":
    main()
