"""Seconds and peak memory of the whole chain, stage by stage, from a clean workspace.

    python benchmarks/chain.py                                    the demo preset on the sample world
    python benchmarks/chain.py --card eswc2015 --source FOLDER    the default preset on a real data pack

Wall seconds include every process's start. Quality is printed beside the cost.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from record import print_table, record

from graphkit.artefacts import Workspace
from graphkit.stages import STAGES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset")
    parser.add_argument("--card")
    parser.add_argument("--source")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--workspace", help="keep the workspace here; default: a temporary folder")
    options = parser.parse_args()
    start = ["--card", options.card, "--source", options.source] if options.card else ["--sample"]
    preset = options.preset or ("default" if options.card else "demo")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(options.workspace or folder)
        began = time.perf_counter()
        words = ["run", *start, "--preset", preset, "--seed", options.seed, "-w", str(root)]
        subprocess.run([sys.executable, "-m", "cli", *words], check=True)
        seconds = time.perf_counter() - began
        again = time.perf_counter()
        subprocess.run([sys.executable, "-m", "cli", *words], check=True, stdout=subprocess.DEVNULL)
        seconds_again = time.perf_counter() - again
        about = {"data": options.card or "sample", "preset": preset, "seed": options.seed}
        record("chain", cost_rows(root, seconds, seconds_again), **about)
        print_table(quality_rows(root))


def cost_rows(root: Path, seconds: float, seconds_again: float) -> list[dict[str, object]]:
    """One row a stage, then the whole."""
    manifests = [Workspace(root).current(stage).manifest for stage in STAGES]
    rows: list[dict[str, object]] = [
        {"stage": m.stage, "seconds": round(m.wall_seconds, 1), "peak_mib": m.peak_memory_bytes // 2**20}
        for m in manifests
    ]
    peak = max(m.peak_memory_bytes for m in manifests) // 2**20
    rows.append({"stage": "whole chain", "seconds": round(seconds, 1), "peak_mib": peak})
    rows.append({"stage": "second run", "seconds": round(seconds_again, 1), "peak_mib": "-"})
    return rows


def quality_rows(root: Path) -> list[dict[str, object]]:
    """NDCG@10 with its interval of every model, per target type and group."""
    results = pl.read_parquet(Workspace(root).current("evaluation").path("results.parquet"))
    ndcg = results.filter(metric="NDCG@10", segment="all").sort(
        "target_type", "group", "value", descending=[False, True, True]
    )
    return [
        {
            "target": row["target_type"],
            "group": row["group"],
            "model": row["model"],
            "NDCG@10": f"{row['value']:.4f}",
            "interval": f"{row['low']:.4f}-{row['high']:.4f}",
            "users": row["num_users"],
        }
        for row in ndcg.iter_rows(named=True)
    ]


if __name__ == "__main__":
    main()
