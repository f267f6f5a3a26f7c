"""Seconds and peak memory of generating the sample world, and how near its statistics come to their targets.

python benchmarks/sample_world.py --sizes tiny small medium large
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile

from record import print_table, record

SIZES = ("tiny", "small", "medium", "large")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=SIZES[:3])
    parser.add_argument("--seed", default="0")
    options = parser.parse_args()
    made = {size: generate(size, options.seed) for size in options.sizes}
    rows = [
        {
            "size": size,
            **{name: batch["row_counts"][name] for name in ("items", "users", "interactions")},
            "seconds": round(batch["wall_seconds"], 1),
            "peak_mib": batch["peak_memory_bytes"] // 2**20,
        }
        for size, batch in made.items()
    ]
    record("sample_world", rows, seed=options.seed, statistics={s: b["statistics"] for s, b in made.items()})
    for size, batch in made.items():
        print(f"\n{size}")
        print_table([row for row in batch["statistics"] if row["target"]])


def generate(size: str, seed: str) -> dict[str, object]:
    """What `graphkit sample` printed as JSON, from a clean workspace."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "cli", "sample", "--size", size, "--seed", seed, "-w", folder, "--json"]
        return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
