"""The graph builder against a Polars self-join and a SciPy sparse product, its growth, its update, its estimate.

python benchmarks/graph_build.py peers              # slices of the medium world, the same edges from each
python benchmarks/graph_build.py growth             # medium within 4 GiB, large within 8 GiB
python benchmarks/graph_build.py update             # one day more and one less, against a full build
python benchmarks/graph_build.py estimate --packs … # build-graph --dry-run against what then happens

Every measured process is a fresh one; its peak memory is what the kernel says of it after it ended.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

from record import record

SEED, TOP_K = 0, 100
COLUMNS = ("item", "src", "weight")
GIB = 2**30
#: Read by every contender alike: all of train, since a longer window means more pairs.
SLICES = (2_500, 5_000, 10_000, 20_000, 40_000, 100_000)


@dataclass(frozen=True)
class Cost:
    """Seconds and peak resident memory of a process, and what it printed last."""

    seconds: float
    peak_mib: int
    said: Any
    failed: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["peers", "growth", "update", "estimate", "contender"])
    parser.add_argument("--slices", type=int, nargs="+", default=SLICES, help="users of the medium world")
    parser.add_argument("--sizes", nargs="+", default=["medium", "large"], help="worlds of `growth`")
    parser.add_argument("--texts", action="store_true", help="`growth` encodes the texts too (minutes more)")
    parser.add_argument("--packs", type=Path, help="folder with eswc2015 and amazon2014_dev, for `estimate`")
    parser.add_argument("--work", type=Path, help="keep the worlds here between runs")
    parser.add_argument("--memory-gib", type=float, default=20, help="a contender above this is stopped")
    parser.add_argument("--contender", nargs=3, metavar=("NAME", "WORKSPACE", "USERS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part == "contender":
        name, workspace, users = options.contender
        print(json.dumps(CONTENDERS[name](Path(workspace), int(users))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        options.work = options.work or Path(temporary)
        {"peers": peers, "growth": growth, "update": update, "estimate": estimate}[options.part](options)


# --- measuring -----------------------------------------------------------------------------------------------


def measure(words: list[str], memory_gib: float = 1e9) -> Cost:
    """Run a command to its end, or until it takes more than ``memory_gib``."""
    started = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
    over: list[float] = []
    threading.Thread(target=_watch, args=(process.pid, memory_gib * GIB, over), daemon=True).start()
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds, peak = time.perf_counter() - started, usage.ru_maxrss // 1024
    if over:
        return Cost(seconds, peak, None, f"stopped at {over[0] / GIB:.1f} GiB after {seconds:.0f} s")
    if process.returncode:
        return Cost(seconds, peak, None, f"exit code {process.returncode} at {peak} MiB after {seconds:.0f} s")
    return Cost(seconds, peak, json.loads(output.splitlines()[-1]))


def _watch(pid: int, limit: float, over: list[float]) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    while Path(f"/proc/{pid}").exists():
        try:
            resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page
        except (OSError, IndexError):
            return
        if resident > limit:
            over.append(resident)
            os.killpg(pid, signal.SIGKILL)
            return
        time.sleep(0.05)


def graphkit(*words: str) -> list[str]:
    return [sys.executable, "-m", "cli", *words, "--quiet", "--json"]


def world(work: Path, size: str, name: str = "", *settings: str) -> Path:
    """A workspace with the sample world of a size, made if it is not there."""
    folder = work / (name or size)
    sets = [word for setting in settings for word in ("--set", setting)]
    subprocess.run(
        graphkit("sample", "--size", size, "--seed", str(SEED), "-w", str(folder), *sets),
        check=True,
        capture_output=True,
    )
    return folder


# --- against the peers ---------------------------------------------------------------------------------------


def peers(options: argparse.Namespace) -> None:
    """Each contender reads the same log of the same users, and writes the same edges."""
    folder = world(options.work, "medium")
    rows, beaten = [], set()
    for users in options.slices:
        edges = {}
        for name in CONTENDERS:
            if name in beaten:
                continue
            words = [sys.executable, __file__, "contender", "--contender", name, str(folder), str(users)]
            cost = measure(words, options.memory_gib)
            row: dict[str, Any] = {"users": users, "contender": name, "seconds": round(cost.seconds, 2)}
            row["peak_mib"] = cost.peak_mib
            if cost.failed:
                beaten.add(name)
                rows.append(row | {"failed": cost.failed})
                continue
            edges[name] = (cost.said["edges"], cost.said["weight"])
            count = cost.said["count_seconds"]
            row |= {"pairs": cost.said["pairs"], "edges": cost.said["edges"], "count_seconds": round(count, 2)}
            rows.append(row | {"ns_per_pair": round(count * 1e9 / cost.said["pairs"], 1)})
        if len(set(edges.values())) > 1:
            raise SystemExit(f"the contenders disagree at {users} users: {edges}")
    shown = ("users", "contender", "seconds", "peak_mib", "pairs", "edges", "count_seconds", "ns_per_pair", "failed")
    record("graph_build", [{name: row.get(name) for name in shown} for row in rows], part="peers", top_k=TOP_K)


def _distinct_pairs(workspace: Path, users: int) -> Any:
    """Distinct (user, global item number) of the strong train rows of the first users, as every contender needs."""
    import polars as pl

    from graphkit.artefacts import Workspace
    from graphkit.datasets.store import Dataset

    dataset = Dataset.current(Workspace(workspace))
    starts, at = {}, 0
    for item_type, count in dataset.meta.num_items.items():
        starts[item_type], at = at, at + count
    item = pl.col("item").cast(pl.Int64) + pl.col("item_type").replace_strict(starts, return_dtype=pl.Int64)
    rows = dataset.interactions("train", dataset.meta.strong).filter(pl.col("user") < users)
    return rows.select("user", item.cast(pl.Int32)).unique().collect(engine="streaming"), at


def by_polars(workspace: Path, users: int) -> dict[str, Any]:
    """The plain self-join and group_by, then cosine and the top K of each destination and type of source."""
    import polars as pl

    pairs, _ = _distinct_pairs(workspace, users)
    types = _type_of(workspace)
    started = time.perf_counter()
    count = pairs.group_by("item").len("n")
    lazy, sources = pairs.lazy(), pairs.lazy().rename({"item": "src"})
    joined = lazy.join(sources, on="user").filter(pl.col("item") != pl.col("src"))
    support = joined.group_by("item", "src").len("support").collect(engine="streaming")
    counted = time.perf_counter() - started
    weight = pl.col("support") / (pl.col("n") * pl.col("n_src")).sqrt()
    weighed = support.join(count, on="item").join(count.rename({"item": "src", "n": "n_src"}), on="src")
    kind = pl.Series("kind", types)
    weighed = weighed.select("item", "src", "support", weight.alias("weight")).with_columns(
        kind.gather(weighed["src"]).alias("kind")
    )
    rank = pl.col("weight").rank("ordinal", descending=True).over("item", "kind")
    kept = weighed.filter(rank <= TOP_K)
    return _said(int((pairs.group_by("user").len()["len"].cast(pl.Int64) ** 2).sum()) - pairs.height, kept, counted)


def by_scipy(workspace: Path, users: int) -> dict[str, Any]:
    """One sparse product, then cosine and the top K of each row and type, row by row."""
    import numpy as np
    from scipy.sparse import csr_array

    pairs, num_items = _distinct_pairs(workspace, users)
    types = _type_of(workspace)
    started = time.perf_counter()
    ones = np.ones(pairs.height, np.int32)
    matrix = csr_array((ones, (pairs["user"].to_numpy(), pairs["item"].to_numpy())), shape=(users, num_items))
    product = csr_array(matrix.T) @ matrix
    counted = time.perf_counter() - started
    count = np.bincount(pairs["item"].to_numpy(), minlength=num_items)
    parts = []
    for row in range(num_items):
        run = slice(product.indptr[row], product.indptr[row + 1])
        src, support = product.indices[run], product.data[run]
        support, src = support[src != row], src[src != row]
        weight = support / np.sqrt(count[row] * count[src])
        for kind in range(int(types.max()) + 1):
            mine = np.flatnonzero(types[src] == kind)
            best = mine[np.argpartition(-weight[mine], TOP_K)[:TOP_K]] if len(mine) > TOP_K else mine
            parts.append((np.full(len(best), row), src[best], weight[best]))
    return _said(int((np.diff(matrix.indptr).astype(np.int64) ** 2).sum()) - pairs.height, _frame(parts), counted)


def by_graphkit(workspace: Path, users: int) -> dict[str, Any]:
    """The builder's own blocks."""
    import numpy as np
    import polars as pl

    from graphkit.config.sections import GraphSection
    from graphkit.graph.edges import EdgeCounter
    from graphkit.graph.incidence import incidence
    from graphkit.graph.memory import MemoryLimit
    from graphkit.graph.store import Relation
    from graphkit.parallel import thread_count

    pairs, _ = _distinct_pairs(workspace, users)
    types = _type_of(workspace)
    settings = GraphSection(top_k=TOP_K, prune="destination")
    started = time.perf_counter()
    starts = [int(np.flatnonzero(types == kind)[0]) for kind in range(int(types.max()) + 1)]
    by_type = {}
    for kind, start in enumerate(starts):
        mine = pairs.filter(pl.Series(types == kind).gather(pairs["item"])).sort("user", "item")
        shape = (users, int((types == kind).sum()))
        by_type[str(kind)] = incidence(mine["user"].to_numpy(), mine["item"].to_numpy() - start, shape)
    counter = EdgeCounter(by_type, float(users), settings, SEED, thread_count(0), MemoryLimit(20 * GIB))
    parts = []
    for src, dst in combinations_with_replacement(by_type, 2):
        found = counter.edges(Relation(src, "co-listening", dst))
        one = np.repeat(np.arange(len(found.indptr) - 1), np.diff(found.indptr)) + starts[int(src)]
        other = found.dst + starts[int(dst)]
        parts.append((one[found.at_src], other[found.at_src], found.weight[found.at_src]))
        if src != dst:
            parts.append((other[found.at_dst], one[found.at_dst], found.weight[found.at_dst]))
    counted = time.perf_counter() - started
    sizes = pairs.group_by("user").len()["len"].cast(pl.Int64)
    return _said(int((sizes**2).sum()) - pairs.height, _frame(parts), counted)


def _type_of(workspace: Path) -> Any:
    import numpy as np

    from graphkit.artefacts import Workspace
    from graphkit.datasets.store import Dataset

    counts = Dataset.current(Workspace(workspace)).meta.num_items.values()
    return np.repeat(np.arange(len(counts)), list(counts))


def _frame(parts: list[Any]) -> Any:
    import numpy as np
    import polars as pl

    return pl.DataFrame(
        {name: np.concatenate(column) for name, column in zip(COLUMNS, zip(*parts, strict=True), strict=True)}
    )


def _said(pairs: int, kept: Any, counted: float) -> dict[str, Any]:
    """What was counted and kept; of equals each contender may keep others, but their weights add up to the same."""
    with tempfile.TemporaryDirectory() as folder:
        kept.select(COLUMNS).write_parquet(Path(folder) / "edges.parquet")
    total = float(kept["weight"].sum())
    return {"pairs": pairs, "edges": kept.height, "weight": round(total, -2), "count_seconds": counted}


CONTENDERS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "polars": by_polars,
    "scipy": by_scipy,
    "graphkit": by_graphkit,
}


# --- growth, update, estimate --------------------------------------------------------------------------------


def growth(options: argparse.Namespace) -> None:
    """The whole command on larger worlds: 90 days and all of train, within a memory limit."""
    rows = []
    for size in options.sizes:
        folder = world(options.work, size)
        for window in ("90", "none"):
            limit = "8GiB" if size == "large" else "4GiB"
            sets = ["--set", f"graph.window_days={window}", "--memory", limit]
            sets += [] if options.texts else ["--set", "text.model=none"]
            cost = measure(graphkit("build-graph", "-w", str(folder), *sets))
            rows.append({"size": size, "window_days": window, "memory": limit, **_built(cost)})
    record("graph_build", rows, part="growth")


def _built(cost: Cost) -> dict[str, Any]:
    if cost.failed:
        return {"failed": cost.failed}
    metrics = cost.said["metrics"]
    pairs, edges = sum(metrics["pairs_counted"].values()), sum(cost.said["row_counts"].values())
    seconds = metrics["seconds"]["edges"]
    return {
        "seconds": round(cost.seconds, 1),
        "edge_seconds": seconds,
        "text_seconds": metrics["seconds"]["text"],
        "peak_mib": cost.peak_mib,
        "pairs": pairs,
        "edges": edges,
        "ns_per_pair": round(seconds * 1e9 / pairs, 1),
    }


def update(options: argparse.Namespace) -> None:
    """One day added and the oldest one dropped, and the same graph from nothing; texts are encoded already."""
    rows = []
    for size in options.sizes[:1]:
        last = datetime(2025, 12, 18)
        before, after = (f"split.cutoff={(last - timedelta(days=d)).date().isoformat()}" for d in (1, 0))
        moving = world(options.work, size, f"{size}-moving", before)
        keep = ["--set", "graph.incremental=true", "--memory", "4GiB"]
        first = measure(graphkit("build-graph", "-w", str(moving), *keep))
        world(options.work, size, f"{size}-moving", after)
        moved = measure(graphkit("build-graph", "-w", str(moving), *keep))
        fresh = world(options.work, size, f"{size}-fresh", after)
        subprocess.run(["cp", "-r", str(moving / "text-cache"), str(fresh)], check=True)
        built = measure(graphkit("build-graph", "-w", str(fresh), *keep))
        assert moved.said["metrics"]["base"] is not None
        assert moved.said["content_hash"] == built.said["content_hash"]
        for name, cost in (("first build", first), ("one day on", moved), ("full build", built)):
            share = cost.seconds / built.seconds
            rows.append({"size": size, "build": name, **_built(cost), "of_full": round(share, 3)})
    record("graph_build", rows, part="update")


def estimate(options: argparse.Namespace) -> None:
    """What --dry-run expects and what then happens, each from a fresh workspace."""
    sources = {"sample medium": lambda folder: world(folder.parent, "medium", folder.name)}
    for pack in ("eswc2015", "amazon2014_dev") if options.packs else ():
        words = ("import", pack, str(options.packs / pack), "-w")
        sources[pack] = lambda folder, words=words: subprocess.run(
            graphkit(*words, str(folder)), check=True, capture_output=True
        )
    rows = []
    for name, make in sources.items():
        folder = options.work / f"estimate-{name.replace(' ', '-')}"
        make(folder)
        expected = measure(graphkit("build-graph", "-w", str(folder), "--dry-run")).said[0]["estimate"]
        cost = measure(graphkit("build-graph", "-w", str(folder)))
        found = cost.said["row_counts"]
        names = [f"{row['snapshot'].split('+')[0]}/{row['relation']}" for row in expected["relations"]]
        wrong = [row["edges"] / max(found[n], 1) for row, n in zip(expected["relations"], names, strict=True)]
        pairs = sum(cost.said["metrics"]["pairs_counted"].values()) / (1 if len(wrong) > len(found) / 2 else 2)
        rows.append(
            {
                "dataset": name,
                "users_sampled": f"{expected['users_sampled']} of {expected['users']}",
                "seconds": f"{expected['seconds']} / {cost.seconds:.1f}",
                "peak_mib": f"{expected['memory_bytes'] // 2**20} / {cost.peak_mib}",
                "pairs_ratio": round(sum(r["pairs"] for r in expected["relations"]) / pairs, 2),
                "edges_ratio": f"{min(wrong):.2f} to {max(wrong):.2f}",
            }
        )
    record("graph_build", rows, part="estimate", columns="expected / measured")


if __name__ == "__main__":
    main()
