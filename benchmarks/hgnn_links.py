"""Does the HGNN find co-subscribed podcasts better than their texts do? The podcasts_catalogue task, by its protocol.

python benchmarks/hgnn_links.py --source DATA/podcasts_catalogue --seeds 0 1 2 --presets default paper

Train links make a graph of one type, undirected; validation is cut from them. For each podcast with test links all
others are ranked, less its train links. ``both ways`` also leaves out those that name it in a train link. The cold
slice: a tenth of the podcasts with test links (others with every seed) lose all their train links, are embedded from
their text alone (or the neighbours that ``hgnn.text_neighbours`` finds by it), and are ranked for as before. Figures
are means over sources, and over seeds where something is trained, with 95 % bootstrap intervals over sources.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hgnn_common import back_end, drawn_means, ends, fit, use_two_cores
from record import record
from scipy import sparse

from graphkit.config import Config, load_config
from graphkit.evaluation.metrics import user_metrics
from graphkit.evaluation.top_items import tie_order, top_items
from graphkit.graph.store import CO_LISTENING, CoListeningGraph, Csc, Relation
from graphkit.hgnn.graph_tensors import to_tensors
from graphkit.hgnn.infer import embed_graph
from graphkit.hgnn.text_neighbours import with_text_neighbours
from graphkit.text import item_texts
from graphkit.text_encoder import encode_texts
from graphkit.training.device import choose_device

PODCAST = "podcast"
METRICS = ("HR@10", "NDCG@10", "MRR")
TEXT, COLD_SHARE = "text-kNN", 0.1
#: float64 [num_sources, len(METRICS)].
Figures = np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder with podcasts and also_subscribed.parquet")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--presets", nargs="+", default=["default"])
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE", help="of all presets")
    parser.add_argument("--limit", type=float, default=float("inf"), help="wall seconds of one training, at most")
    parser.add_argument("--text-cache", type=Path, help="keep encoded texts here between runs")
    options = parser.parse_args()
    use_two_cores()
    configs = {preset: load_config(preset, options.sets) for preset in options.presets}
    with tempfile.TemporaryDirectory() as folder:
        data = Catalogue.read(options.source, next(iter(configs.values())), options.text_cache or Path(folder))
    trained: list[dict[str, Any]] = []
    rows = warm(data, configs, options, trained) + cold(data, configs, options, trained)
    about = {key: getattr(options, key) for key in ("seeds", "presets", "sets")}
    counts = {"podcasts": data.num, "train_links": len(data.train), "test_links": len(data.test)}
    record("hgnn_links", rows, **about, limit=str(options.limit), **counts, trainings=trained)


# --- the data ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Catalogue:
    """Podcasts by row; ``train`` and ``test`` are int64 [n, 2], source and destination."""

    text: np.ndarray  # float32 [num, dim], unit length
    train: np.ndarray
    test: np.ndarray

    @classmethod
    def read(cls, source: Path, config: Config, cache: Path) -> Catalogue:
        podcasts = pl.read_parquet(source / "podcasts.parquet")
        row = dict(zip(podcasts["podcast_id"], range(len(podcasts)), strict=True))
        links = pl.read_parquet(source / "also_subscribed.parquet").filter(pl.col("split").is_not_null())
        both = links.select(pl.col("src_id", "dst_id").replace_strict(row, return_dtype=pl.Int64), "split")
        parts = {part: both.filter(split=part).select("src_id", "dst_id").to_numpy() for part in ("train", "test")}
        text = encode_texts(item_texts(podcasts), config.text, cache, 2)
        return cls(text, parts["train"], parts["test"])

    @property
    def num(self) -> int:
        return len(self.text)

    @property
    def sources(self) -> np.ndarray:
        """The podcasts with test links, ascending."""
        return np.unique(self.test[:, 0])

    def adjacency(self, without: np.ndarray | None = None) -> Any:
        """Train pairs as a sparse symmetric 0/1 matrix, less all pairs of the podcasts ``without``."""
        kept = self.train if without is None else self.train[~np.isin(self.train, without).any(axis=1)]
        one = sparse.csr_array((np.ones(len(kept), np.float32), tuple(kept.T)), shape=(self.num, self.num))
        both = sparse.csr_array(one + one.T)
        both.setdiag(0)
        both.eliminate_zeros()
        both.data[:] = 1
        both.sort_indices()
        return both


def rank(data: Catalogue, scores: np.ndarray, sources: np.ndarray, both_ways: bool = False) -> Figures:
    """The metrics of each of ``sources`` from its ``scores`` [num_sources, num] for every podcast."""
    itself = np.stack([sources, sources], axis=1)
    masked = np.concatenate([data.train, data.train[:, ::-1], itself] if both_ways else [data.train, itself])
    left_out, wanted = pairs(masked, sources, data.num), pairs(data.test, sources, data.num)
    top = top_items(scores, (left_out[0], left_out[1].astype(np.int32)), tie_order(data.num, 0), data.num)
    relevant = np.zeros((len(sources), data.num + 1), dtype=bool)  # the last column catches -1
    relevant[wanted] = True
    hits = np.take_along_axis(relevant, top, axis=1)
    first = hits.argmax(axis=1)  # every source has a test link, and none of them is masked
    counted = user_metrics(hits, np.bincount(wanted[0], minlength=len(sources)), METRICS[:2])
    return np.concatenate([counted, 1 / (1 + first[:, None])], axis=1)


def pairs(links: np.ndarray, sources: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """(row of ``sources``, destination) of the distinct ``links`` from them, ascending."""
    mine = links[np.isin(links[:, 0], sources)]
    key = np.unique(np.searchsorted(sources, mine[:, 0]) * num + mine[:, 1])
    return key // num, key % num


# --- the models ----------------------------------------------------------------------------------------------


def simple_scores(data: Catalogue, joined: Any, sources: np.ndarray) -> dict[str, np.ndarray]:
    """The peers' scores [num_sources, num], by name; ``joined`` are the train pairs that they may know."""
    degree = joined.sum(axis=0)
    common = joined[sources] @ joined
    rare = sparse.diags_array(1 / np.log(np.maximum(degree, 2)))
    length = np.sqrt(np.maximum(np.outer(degree[sources], degree), 1))
    return {
        TEXT: data.text[sources] @ data.text.T,
        "popularity": np.tile(degree, (len(sources), 1)),
        "common neighbours": common.toarray(),
        "item-kNN (cosine)": common.toarray() / length,
        "Adamic-Adar": (joined[sources] @ rare @ joined).toarray(),
    }


def hgnn_scores(
    data: Catalogue, joined: Any, sources: np.ndarray, config: Config, seed: int, limit: float
) -> tuple[np.ndarray, dict[str, Any]]:
    """Cosine of embeddings by a model trained on ``joined``, and what its training came to."""
    device = choose_device(config.hgnn.device, where="hgnn.device")
    relation = Relation(PODCAST, CO_LISTENING, PODCAST)
    csc = Csc(joined.indptr.astype(np.int64), joined.indices.astype(np.int32), joined.data)
    links = CoListeningGraph({PODCAST: data.num}, {relation: csc}, {PODCAST: data.text})
    graph = to_tensors(links, device)
    pooling = back_end(config.hgnn, str(device))
    run = fit(graph, config.hgnn, seed, pooling, wall_limit=limit)
    whole = to_tensors(with_text_neighbours(links, config.hgnn.text_neighbours), device)
    z = embed_graph(run.state.model, whole, pooling)[PODCAST].cpu().numpy()
    about = {"seed": seed, "seconds": round(run.wall_seconds, 1), "epochs": len(run.checks)}
    return z[sources] @ z.T, about | {"best_epoch": run.state.best_epoch, "mrr": run.best, "stopped": run.stopped}


# --- the two parts -------------------------------------------------------------------------------------------


def warm(
    data: Catalogue, configs: Mapping[str, Config], options: argparse.Namespace, trained: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The protocol, with all train links."""
    sources, joined = data.sources, data.adjacency()
    found = {}
    for name, scores in simple_scores(data, joined, sources).items():
        found[name] = [[rank(data, scores, sources, both) for both in (False, True)]]
    for preset, config in configs.items():
        runs = found[f"HGNN ({preset})"] = []
        for seed in options.seeds:
            scores, about = hgnn_scores(data, joined, sources, config, seed, options.limit)
            runs.append([rank(data, scores, sources, both) for both in (False, True)])
            report(trained, {"part": "protocol", "preset": preset} | about, runs[-1][0])
    both_ways = {name: np.mean([run[1] for run in runs], axis=0)[:, 0].mean() for name, runs in found.items()}
    strict = {name: [run[0] for run in runs] for name, runs in found.items()}
    return [
        row | {"HR@10 both ways": round(both_ways[row["model"]], 4)}
        for row in table("protocol", strict, [sources] * len(options.seeds))
    ]


def cold(
    data: Catalogue, configs: Mapping[str, Config], options: argparse.Namespace, trained: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Podcasts that are new: without a single train link."""
    found: dict[str, list[Figures]] = {}
    slices = [cold_sources(data, seed) for seed in options.seeds]
    for seed, sources in zip(options.seeds, slices, strict=True):
        joined = data.adjacency(without=sources)
        simple = simple_scores(data, joined, sources)
        for name in (TEXT, "popularity"):  # the others have no neighbours to go by
            found.setdefault(name, []).append(rank(data, simple[name], sources))
        for preset, config in configs.items():
            scores, about = hgnn_scores(data, joined, sources, config, seed, options.limit)
            figures = rank(data, scores, sources)
            found.setdefault(f"HGNN ({preset})", []).append(figures)
            report(trained, {"part": "cold", "preset": preset} | about, figures)
    return table("cold", found, slices)


def cold_sources(data: Catalogue, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(data.sources, round(COLD_SHARE * len(data.sources)), replace=False))


def report(trained: list[dict[str, Any]], about: dict[str, Any], figures: Figures) -> None:
    trained.append(about | {"HR@10": round(float(figures[:, 0].mean()), 4)})
    print(time.strftime("%H:%M:%S"), trained[-1], flush=True)


def table(part: str, found: Mapping[str, list[Figures]], sources: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    """A row a model: means, intervals and how many times text-kNN's HR@10 it has, all on the same resamples.

    A source that is in several seeds' slices is drawn with all of its lists; a model without seeds stands for each.
    """
    runs = {name: of_it * (len(sources) // len(of_it)) for name, of_it in found.items()}
    _, at = np.unique(np.concatenate(sources), return_inverse=True)
    counts = np.bincount(at)
    sums = [np.stack([np.bincount(at, column) for column in np.concatenate(run).T], axis=1) for run in runs.values()]
    draws = drawn_means(np.concatenate(sums, axis=1), counts).reshape(-1, len(runs), len(METRICS))
    text = list(runs).index(TEXT)
    rows = []
    for number, (name, run) in enumerate(runs.items()):
        mean, base = (np.concatenate(of_it).mean(axis=0) for of_it in (run, runs[TEXT]))
        row: dict[str, Any] = {"part": part, "model": name, "sources": len(counts), "seeds": len(found[name])}
        for k, metric in enumerate(METRICS):
            row[metric] = f"{mean[k]:.4f} ({ends(draws[:, number, k])})"
        ratio = draws[:, number, 0] / draws[:, text, 0]
        rows.append(row | {"of_text": f"{mean[0] / base[0]:.2f} ({ends(ratio)})", "spread": spread(found[name])})
    return rows


def spread(runs: list[Figures]) -> float | str:
    """Standard deviation of HR@10 over seeds."""
    return round(float(np.std([run[:, 0].mean() for run in runs], ddof=1)), 4) if len(runs) > 1 else "-"


if __name__ == "__main__":
    main()
